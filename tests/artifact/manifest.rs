//! M: a manifest that enough keys have signed and that breaks the format all the same.

use super::stranger::{Parts, TOP, judge, parts, payload_text, raw, refused, trust, zeros};
use std::time::Instant;
use surefoot::artifact::read_head;
use surefoot::model::ReasonCode::{self, ManifestInvalid, NoPayload, TableInvalid, UpdaterTooOld};

fn body(text: String) -> Vec<u8> {
    Parts { body: text, ..parts() }.bytes()
}

fn replaced(from: &str, to: &str) -> Vec<u8> {
    let text = parts().body;
    assert!(text.contains(from), "{from}");
    body(text.replacen(from, to, 1))
}

#[test]
fn every_broken_rule_is_a_manifest_invalid() {
    for (what, from, to) in [
        ("M01 a key twice", "format = 1", "format = 1\nformat = 1"),
        ("M02 an unknown key", "version =", "colour = 'red'\nversion ="),
        ("M03 an unknown demand", "version =", "critical = ['x']\nversion ="),
        ("M19 an expiry nobody defined", "version =", "valid_until = 1\nversion ="),
        ("an unknown key of a payload", "required = true", "required = true\nfoo = 1"),
        ("an unknown key of requires", "updater =", "kernel = 'x'\nupdater ="),
        ("M04 compatible with nothing", "['demo-board']", "[]"),
        ("M04 no compatible", "compatible = ['demo-board']\n", ""),
        ("M05 a blank in a name", "'demo-board'", "'demo-board '"),
        ("no product", "product = 'demo'\n", ""),
        ("no version", "version = '1.0.0'\n", ""),
        ("M15 a line break in the version", "'1.0.0'", "\"1.0\\nERROR: fake\""),
        ("M10 a path for a kind", "'rootfs'", "'../mmcblk0'"),
        ("a counter below zero", "release_counter = 5", "release_counter = -5"),
        ("an epoch above u32", "security_epoch = 0", "security_epoch = 4294967296"),
        ("format 0", "format = 1", "format = 0"),
        ("format as text", "format = 1", "format = '1'"),
        ("no format", "format = 1\n", ""),
        ("an updater that is no version", "'0.1.0'", "'newest'"),
        ("an updater with a sign", "'0.1.0'", "'+0.1.0'"),
        ("a hash in capitals", "sha256 = '", "sha256 = 'A"),
        ("R8 an empty hash", "digest = '", "digest = '' #"),
        ("TOML 1.1: an escape", "version =", "notes = \"\\e\"\nversion ="),
        ("TOML 1.1: an inline table of two lines", "version =", "hints = { a = 1,\n}\nversion ="),
        ("hints that are no table", "version =", "hints = 1\nversion ="),
    ] {
        let bytes = replaced(from, to);
        let failure = judge(&bytes, &trust(1)).expect_err(what);
        assert_eq!(failure.code(), ManifestInvalid, "{what}: {failure}");
        assert!(!failure.to_string().contains('\n'), "{what}");
    }
    refused(&body(TOP.to_owned()), &trust(1), ManifestInvalid);
    refused(
        &body(
            format!("{}payloads = []\n", TOP.split("[requires]").next().unwrap())
                + "[requires]\nupdater = '0.1.0'\n",
        ),
        &trust(1),
        ManifestInvalid,
    );
}

#[test]
fn m12_every_field_is_needed() {
    // A missing hash or length is an error, never "do not check".
    let text = parts().body;
    let optional = ["[requires]", "[[payloads]]"];
    for (n, line) in text.lines().enumerate() {
        if optional.contains(&line) {
            continue;
        }
        let without: String = text
            .lines()
            .enumerate()
            .filter(|(m, _)| *m != n)
            .map(|(_, l)| format!("{l}\n"))
            .collect();
        let failure = judge(&body(without), &trust(1)).expect_err(line);
        assert_eq!(failure.code(), ManifestInvalid, "{line}: {failure}");
    }
}

#[test]
fn m18_the_needed_updater_is_looked_at_before_unknown_keys() {
    for needed in ["0.5.1", "0.6.0", "1.0.0", "4294967295.0.0"] {
        let newer = parts().body.replace("'0.1.0'", &format!("'{needed}'"));
        refused(&body(newer.clone()), &trust(1), UpdaterTooOld);
        refused(
            &body(newer.replace("format = 1", "format = 1\nunheard_of = 1")),
            &trust(1),
            UpdaterTooOld,
        );
    }
    refused(&replaced("format = 1", "format = 2\nunheard_of = 1"), &trust(1), UpdaterTooOld);
    judge(&replaced("'0.1.0'", "'0.0.9'"), &trust(1)).unwrap();
}

#[test]
fn hints_are_free() {
    let text = parts().body.replace("[requires]", "[hints]\nanything = { a = [1] }\n[requires]");
    judge(&body(text), &trust(1)).unwrap();
}

#[test]
fn m13_m14_text_that_is_meant_to_hurt_is_refused_quickly() {
    let nested = format!("{TOP}x = {}", "[".repeat(60_000));
    let closed = format!("{TOP}x = {}{}", "[".repeat(30_000), "]".repeat(30_000));
    let dotted = format!("{TOP}{}x = 1", "a.".repeat(30_000));
    let many: String = (0..7000).map(|n| format!("k{n}=1\n")).collect();
    for text in [
        nested,
        closed,
        dotted,
        many + &parts().body,
        "\u{feff}".to_owned() + &parts().body,
        parts().body.replace('\n', "\r"),
        parts().body + "\0",
    ] {
        let bytes = body(text);
        let began = Instant::now();
        refused(&bytes, &trust(1), ManifestInvalid);
        // Not quadratic: that would take many minutes. No closer, for load must not break it.
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }
    let mut not_utf8 = parts();
    not_utf8.body.push_str("# x");
    let text = not_utf8.body.clone();
    // Signed as bytes, so the change is made before signing.
    let mut raw_body = text.into_bytes();
    *raw_body.last_mut().unwrap() = 0xff;
    let table = not_utf8.table();
    let said = super::stranger::statement(2, &raw_body, &table);
    let head = super::stranger::head(&raw_body, &table, &[super::stranger::record(2, &said)]);
    refused(&head, &trust(1), ManifestInvalid);
}

#[test]
fn m07_m08_m09_the_manifest_and_its_table_agree() {
    let chunks = format!("chunks = {}", parts().pieces.len());
    for (from, to, code) in [
        ("size = ", "size = 1", TableInvalid),
        ("stored_size = ", "stored_size = 1", TableInvalid),
        ("first_chunk = 0", "first_chunk = 1", TableInvalid),
        ("first_chunk = 0", "first_chunk = 4294967295", TableInvalid),
        (&chunks, "chunks = 3", TableInvalid),
        (&chunks, "chunks = 6", TableInvalid),
        (&chunks, "chunks = 0", TableInvalid),
        (&chunks, "chunks = 4294967295", TableInvalid),
        (
            "digest = '",
            "digest = '0000000000000000000000000000000000000000000000000000000000000000' #",
            TableInvalid,
        ),
    ] {
        refused(&replaced(from, to), &trust(1), code);
    }
    let size = parts().pieces.iter().map(|p| u64::from(p.plain_len)).sum::<u64>();
    refused(&replaced(&format!("size = {size}\n"), "size = 0\n"), &trust(1), ManifestInvalid);
}

#[test]
fn m11_two_images_for_one_device() {
    let (one, two) = (vec![raw(b"one")], vec![raw(b"two")]);
    let both = |first: &str, second: &str| {
        let text =
            format!("{TOP}{}{}", payload_text(&one, 0, first), payload_text(&two, 1, second));
        Parts { body: text, pieces: [one.clone(), two.clone()].concat(), signers: vec![2] }.bytes()
    };
    refused(&both("", ""), &trust(1), ManifestInvalid);
    refused(&both("hardware = ['rev1']\n", ""), &trust(1), ManifestInvalid);
    refused(
        &both("hardware = ['rev1', 'rev2']\n", "hardware = ['rev2']\n"),
        &trust(1),
        ManifestInvalid,
    );
    let good = both("hardware = ['rev1']\n", "hardware = ['rev2']\n");
    judge(&good, &trust(1)).unwrap();
    let release = read_head(&mut good.as_slice()).unwrap().verify(&trust(1)).unwrap();
    let select = |own: Option<&str>| {
        let own = own.map(|o| o.parse().unwrap());
        release.manifest.select(own.as_ref()).map(|p| p[0].first_chunk)
    };
    assert_eq!(select(Some("rev1")), Ok(0));
    assert_eq!(select(Some("rev2")), Ok(1));
    for none in [Some("rev3"), Some("REV1"), None] {
        assert_eq!(select(none).unwrap_err().code(), NoPayload);
    }
    let second = &release.manifest.payloads[1];
    assert_eq!(release.stored_offset_of(second), release.payload_offset() + 3);
    assert_eq!(release.chunks_of(second).len(), 1);
}

/// A root filesystem and what `more` says: each a payload with these lines in place of its kind.
fn with_parts(more: &[&str]) -> Vec<u8> {
    let pieces: Vec<_> = (0..=more.len()).map(|n| raw(&[b'0' + n as u8; 9])).collect();
    let mut text = format!("{TOP}{}", payload_text(&pieces[..1], 0, ""));
    for (n, kind) in (1..).zip(more) {
        text += &payload_text(&pieces[n..=n], n, "").replace("kind = 'rootfs'", kind);
    }
    Parts { body: text, pieces, signers: vec![2] }.bytes()
}

#[test]
fn a_release_carries_each_part_once_and_says_which_it_is() {
    let boot = "kind = 'part'\npart = 'boot'";
    let good = with_parts(&[boot, "kind = 'part'\npart = 'fpga'"]);
    let release = read_head(&mut good.as_slice()).unwrap().verify(&trust(1)).unwrap();
    let parts: Vec<_> = release.manifest.select(None).unwrap();
    let parts: Vec<_> = parts.iter().map(|p| p.part().unwrap().to_string()).collect();
    assert_eq!(parts, ["rootfs", "boot", "fpga"]);
    let (one, two) = ("hardware = ['r1']\n", "hardware = ['r1', 'r2']\n");
    let [one, two] = [one, two].map(|hardware| format!("{hardware}{boot}"));
    for (more, told) in [
        (&[boot, boot][..], "the part `boot` twice"),
        (&[&one, &two], "the part `boot` twice"),
        (&["kind = 'part'"], "does not say which part"),
        (&["kind = 'part'\npart = 'rootfs'"], "is of the kind `rootfs`"),
        (&["kind = 'part'\npart = 'two words'"], "two words"),
        (&["kind = 'firmware'\npart = 'boot'"], "of kind `firmware` names a part"),
    ] {
        let failure = judge(&with_parts(more), &trust(1)).unwrap_err();
        assert_eq!(failure.code(), ManifestInvalid, "{more:?}");
        assert!(failure.detail().contains(told), "{more:?}: {failure}");
    }
    // One part for each of two boards.
    let other = "hardware = ['r2']\nkind = 'part'\npart = 'boot'";
    judge(&with_parts(&[&one, other]), &trust(1)).unwrap();
}

#[test]
fn unknown_kinds_are_skipped_unless_required() {
    let (image, other) = (vec![raw(b"image")], vec![raw(b"blob")]);
    let artifact = |required: bool| {
        let blob = payload_text(&other, 1, "")
            .replace("'rootfs'", "'firmware'")
            .replace("required = true", &format!("required = {required}"));
        let text = format!("{TOP}{}{blob}", payload_text(&image, 0, ""));
        Parts { body: text, pieces: [image.clone(), other.clone()].concat(), signers: vec![2] }
            .bytes()
    };
    let select = |bytes: &[u8]| {
        let release = read_head(&mut &bytes[..]).unwrap().verify(&trust(1)).unwrap();
        release.manifest.select(None).map(|p| p.len()).map_err(|f| f.code())
    };
    assert_eq!(select(&artifact(false)), Ok(1));
    assert_eq!(select(&artifact(true)), Err(ReasonCode::UpdaterTooOld));
}

#[test]
fn k05_sizes_beyond_31_and_32_bits_come_out() {
    // Zero runs cost nothing: 5 GiB and 12 GiB images in a few hundred bytes.
    for runs in [vec![1u32 << 31, (1 << 31) + 4096], vec![u32::MAX - 4095; 3]] {
        let pieces: Vec<_> = runs.iter().map(|n| zeros(*n)).chain([raw(b"end")]).collect();
        let size: u64 = runs.iter().map(|n| u64::from(*n)).sum::<u64>() + 3;
        let text = format!("{TOP}{}", payload_text(&pieces, 0, ""));
        let bytes = Parts { body: text, pieces, signers: vec![2] }.bytes();
        let release = read_head(&mut bytes.as_slice()).unwrap().verify(&trust(1)).unwrap();
        assert_eq!(release.manifest.payloads[0].size, size);
        assert_eq!(release.payload_len(), 3);
        assert_eq!(release.artifact_len(), bytes.len() as u64);
    }
}
