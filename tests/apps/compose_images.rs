//! Each form in which tools save images, found by the name that a service says.

use super::compose::Shop;
use super::images::{MadeImage, Pack, docker_new, docker_old, lay_out, layer, oci, tar};

fn web(image: &str) -> String {
    format!("services: {{ web: {{ image: '{image}' }} }}\n")
}

#[test]
fn every_form_of_archive_gives_the_same_image() {
    let shop = Shop::new();
    let image = MadeImage::new("arm64", &[layer(7), layer(8), layer(7)]);
    let named = [(&image, "localhost/thing:2")];
    let images = shop.path("images");
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("docker-old.tar", tar(&docker_old(&named))),
        ("docker-new.tar", tar(&docker_new(&named))),
        ("plain.oci", tar(&oci(&named, Pack::Plain))),
        ("gzip.tar", tar(&oci(&named, Pack::Gzip))),
        ("zstd.tar", tar(&oci(&named, Pack::Zstd))),
    ];
    let mut documents = Vec::new();
    for (name, bytes) in &forms {
        std::fs::remove_dir_all(&images).unwrap();
        std::fs::create_dir(&images).unwrap();
        std::fs::write(format!("{images}/{name}"), bytes).unwrap();
        documents.push(shop.document(&web("thing:2")));
    }
    // Packed once more, as people do; as a folder; and the folder itself.
    std::fs::remove_dir_all(&images).unwrap();
    std::fs::create_dir(&images).unwrap();
    let packed = format!("{images}/x.tar");
    std::fs::write(&packed, &forms[3].1).unwrap();
    crate::common::run("gzip", &[&packed], &[], b"").ok();
    documents.push(shop.document(&web("thing:2")));
    std::fs::remove_dir_all(&images).unwrap();
    lay_out(&oci(&named, Pack::Zstd), format!("{images}/folder").as_ref());
    documents.push(shop.document(&web("localhost/thing:2")));
    std::fs::remove_dir_all(&images).unwrap();
    lay_out(&oci(&named, Pack::Gzip), images.as_ref());
    documents.push(shop.document(&web("thing:2")));
    for document in &documents {
        let same =
            ["images", "services"].map(|key| document[key].to_string().replace("localhost/", ""));
        let first = ["images", "services"].map(|key| documents[0][key].to_string());
        assert_eq!(same, first);
        assert_eq!(document["images"][image.id()]["layers"].as_array().unwrap().len(), 3);
    }
    assert_eq!(documents.len(), 8);
}

#[test]
fn an_image_is_found_by_its_file_or_digest_and_never_guessed() {
    let shop = Shop::new();
    let (one, two) = (MadeImage::new("amd64", &[layer(4)]), MadeImage::new("amd64", &[layer(5)]));
    let put = |name: &str, bytes: Vec<u8>| {
        std::fs::write(shop.path(&format!("images/{name}")), bytes).unwrap()
    };
    put("bare.tar", tar(&oci(&[(&one, "")], Pack::Gzip)));
    put("README", b"no archive".to_vec());
    let found = shop.document(&web("localhost/bare"));
    assert_eq!(found["services"]["web"]["image"], one.id());
    let by_id = shop.document(&web(&format!("sha256:{}", one.id())));
    assert_eq!(by_id["services"]["web"]["image"], one.id());
    std::fs::remove_file(shop.path("x.surefoot")).unwrap();
    // The same image twice is no question; two of one name are.
    put("again.tar", tar(&docker_old(&[(&one, "bare:latest")])));
    shop.document(&web("bare"));
    std::fs::remove_file(shop.path("x.surefoot")).unwrap();
    put("other.tar", tar(&docker_old(&[(&two, "bare:latest")])));
    shop.refused(&web("bare"), "CONTAINER_IMAGE", "several have that name");
    shop.refused(
        &web("bare:3"),
        "CONTAINER_IMAGE",
        "--images holds bare:latest, shop-db:1, shop-web:1",
    );
    shop.refused(&web("bare@sha256:12"), "COMPOSE_INVALID", "its digest is no");
    let foreign = MadeImage::new("arm64", &[layer(6)]);
    put("foreign.tar", tar(&oci(&[(&foreign, "multi:1"), (&two, "multi:1")], Pack::Plain)));
    shop.refused(&web("multi:1"), "CONTAINER_IMAGE", "say `platform`");
    let of = |platform: &str| {
        format!("services: {{ web: {{ image: 'multi:1', platform: {platform} }} }}\n")
    };
    shop.refused(&of("linux/riscv64"), "WRONG_ARCHITECTURE", "none of that name");
    assert_eq!(shop.document(&of("linux/arm64"))["services"]["web"]["image"], foreign.id());
    std::fs::remove_file(shop.path("x.surefoot")).unwrap();
    let both = "services: { web: { image: shop-web:1 }, api: { image: 'multi:1', platform: linux/arm64 } }\n";
    shop.refused(both, "WRONG_ARCHITECTURE", "one bundle for each");
    let odd = MadeImage::new("sparc", &[layer(6)]);
    put("odd.tar", tar(&docker_old(&[(&odd, "odd:1")])));
    shop.refused(&web("odd:1"), "WRONG_ARCHITECTURE", "no processor");
}
