use super::*;
use crate::model::{Digest, Identifier, ReasonCode};
use crate::trust::{PublicKey, Purpose, SignatureRecord, Statement, Trust};
use ed25519_dalek::{Signer, SigningKey};

const HEAD: &str = "format = 1\nproduct = \"demo\"\nname = \"stable\"\nserial = 7\nissued = 1800000000\nvalid_for = 86400\n";

fn name(text: &str) -> Identifier {
    text.parse().unwrap()
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes()).unwrap()
}

fn trust() -> Trust {
    let entry = |seed: u8, role: &str| {
        let (id, hex) = (public(seed).id(), public(seed).to_hex());
        format!("[[keys]]\nid = '{id}'\nrole = '{role}'\nalg = 'ed25519'\npublic = '{hex}'\n")
    };
    let keys = [entry(1, "root"), entry(2, "release"), entry(3, "channel")].concat();
    let head = "format = 1\nname = 'acme'\nversion = 1\n[thresholds]\nroot = 1\nrelease = 1\n";
    Trust::parse(&format!("{head}{keys}")).unwrap()
}

fn record(seed: u8, purpose: Purpose, body: &[u8]) -> SignatureRecord {
    let statement = Statement::new(purpose, body, b"").unwrap();
    let signature = SigningKey::from_bytes(&[seed; 32]).sign(statement.as_bytes()).to_bytes();
    SignatureRecord { key_id: public(seed).id(), signature }
}

/// The bytes of a channel whose body nobody has looked at.
fn file(body: &[u8], records: &[SignatureRecord]) -> Vec<u8> {
    let mut bytes = b"\x89SFC\r\n\x1a\n\x01\0".to_vec();
    bytes.extend(u16::try_from(32 + 104 * records.len()).unwrap().to_le_bytes());
    bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    bytes.extend([0, 0, 0, 0, u8::try_from(records.len()).unwrap()]);
    bytes.extend([0; 11]);
    records.iter().for_each(|r| bytes.extend(r.to_bytes()));
    bytes.extend(body);
    bytes
}

fn signed(body: &str) -> Vec<u8> {
    file(body.as_bytes(), &[record(3, Purpose::Channel, body.as_bytes())])
}

fn code(bytes: &[u8]) -> ReasonCode {
    let read = Unread::parse(bytes).and_then(|unread| unread.verify(&trust(), &name("demo")));
    read.err().map_or(ReasonCode::Unknown, |f| f.code())
}

fn release(version: &str, counter: u64, more: &str) -> String {
    let digest = Digest::of(version.as_bytes());
    format!(
        "[[releases]]\nversion = \"{version}\"\ncounter = {counter}\ndigest = \"{digest}\"\ncompatible = [\"board\"]\nurl = \"{version}.surefoot\"\nsize = 100\n{more}\n"
    )
}

fn channel(body: &str) -> Channel {
    let verified = Unread::parse(&signed(body)).unwrap().verify(&trust(), &name("demo")).unwrap();
    (*verified).clone()
}

#[test]
fn a_channel_is_read_only_when_a_channel_key_has_signed_it() {
    let body = format!("{HEAD}{}", release("2.0.0", 2, ""));
    let bytes = signed(&body);
    assert_eq!(channel(&body).body.releases[0].version.as_str(), "2.0.0");
    assert_eq!(
        write_channel(body.as_bytes(), &[record(3, Purpose::Channel, body.as_bytes())]).unwrap(),
        bytes
    );
    let by = |seed, purpose| file(body.as_bytes(), &[record(seed, purpose, body.as_bytes())]);
    assert_eq!(code(&by(2, Purpose::Channel)), ReasonCode::KeyRole);
    assert_eq!(code(&by(3, Purpose::Release)), ReasonCode::SignatureInvalid);
    assert_eq!(code(&by(9, Purpose::Channel)), ReasonCode::SignatureUntrusted);
    assert_eq!(code(&file(body.as_bytes(), &[])), ReasonCode::SignatureMissing);
    // Not one byte can be changed.
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert_ne!(code(&bad), ReasonCode::Unknown, "{at}");
    }
    for len in 0..bytes.len() {
        assert_ne!(code(&bytes[..len]), ReasonCode::Unknown, "{len}");
    }
}

#[test]
fn a_key_for_another_product_signs_no_channel_of_this_one() {
    let only = |product: &str| {
        let entry = |seed: u8, role: &str, scope: &str| {
            let (id, hex) = (public(seed).id(), public(seed).to_hex());
            format!(
                "[[keys]]\nid = '{id}'\nrole = '{role}'\nalg = 'ed25519'\npublic = '{hex}'\n{scope}\n"
            )
        };
        let scope = format!("scope = {{ products = [\"{product}\"] }}");
        let keys = [entry(1, "root", ""), entry(2, "release", &scope), entry(3, "channel", &scope)];
        let head = "format = 1\nname = 'acme'\nversion = 1\n[thresholds]\nroot = 1\nrelease = 1\n";
        Trust::parse(&format!("{head}{}", keys.concat())).unwrap()
    };
    let by = |seed, trust: &Trust| {
        let bytes = file(HEAD.as_bytes(), &[record(seed, Purpose::Channel, HEAD.as_bytes())]);
        let read = Unread::parse(&bytes).unwrap().verify(trust, &name("demo"));
        read.err().map(|f| f.code())
    };
    assert_eq!(by(3, &only("demo")), None);
    assert_eq!(by(2, &only("demo")), Some(ReasonCode::KeyRole));
    // No channel key speaks for this product, so release keys do: there is none either.
    assert_eq!(by(3, &only("other")), Some(ReasonCode::KeyRole));
    assert_eq!(by(2, &only("other")), Some(ReasonCode::KeyScope));
}

#[test]
fn nothing_is_parsed_before_the_verdict() {
    let noise = b"no toml \xff at all [[[";
    let bytes = file(noise, &[record(9, Purpose::Channel, noise)]);
    assert_eq!(code(&bytes), ReasonCode::SignatureUntrusted);
    assert_eq!(
        code(&file(noise, &[record(3, Purpose::Channel, noise)])),
        ReasonCode::ChannelInvalid
    );
}

#[test]
fn each_hostile_channel_has_its_code() {
    let good = signed(HEAD);
    assert_eq!(code(&good), ReasonCode::Unknown, "accepted");
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let twice = record(3, Purpose::Channel, HEAD.as_bytes());
    for (what, bytes, want) in [
        ("nothing", Vec::new(), ReasonCode::NotAChannel),
        ("a page", b"<!doctype html><title>Log in</title>".to_vec(), ReasonCode::NotAChannel),
        ("an artifact", b"\x89SFT\r\n\x1a\n".to_vec(), ReasonCode::NotAChannel),
        ("half a header", good[..20].to_vec(), ReasonCode::Truncated),
        ("half a body", good[..good.len() - 1].to_vec(), ReasonCode::Truncated),
        ("more than the end", [&good[..], b"x"].concat(), ReasonCode::TrailingBytes),
        ("format 0", changed(8, &[0, 0]), ReasonCode::HeaderInvalid),
        ("format 2", changed(8, &[2, 0]), ReasonCode::UpdaterTooOld),
        ("no body", changed(12, &[0; 4]), ReasonCode::HeaderInvalid),
        ("a body of 4 GiB", changed(12, &[0xff; 4]), ReasonCode::HeaderInvalid),
        ("a table", changed(16, &[80, 0, 0, 0]), ReasonCode::HeaderInvalid),
        ("9 signatures", changed(20, &[9]), ReasonCode::HeaderInvalid),
        ("2 signatures that are 1", changed(20, &[2]), ReasonCode::HeaderInvalid),
        ("one key twice", file(HEAD.as_bytes(), &[twice, twice]), ReasonCode::HeaderInvalid),
        (
            "a long body",
            signed(&format!("{HEAD}#{}", "x".repeat(MAX_BODY_LEN))),
            ReasonCode::HeaderInvalid,
        ),
    ] {
        assert_eq!(code(&bytes), want, "{what}");
    }
}

#[test]
fn a_body_that_breaks_a_rule_is_refused_also_when_it_is_signed() {
    let one = |more: &str| format!("{HEAD}{}", release("2.0.0", 2, more));
    let phases = |list: &[(u64, u32)]| {
        let text =
            list.iter().map(|(at, p)| format!("[[releases.phases]]\nat = {at}\npercent = {p}\n"));
        one(&text.collect::<String>())
    };
    assert_eq!(code(&signed(&phases(&[(5, 0), (6, 0), (6, 100)]))), ReasonCode::Unknown);
    let many =
        (0..=MAX_RELEASES as u64).map(|n| release(&format!("{n}"), n, "")).collect::<String>();
    let thousands =
        (0..1_500u64).map(|n| format!("[[releases]]\nversion=\"{n}\"\n")).collect::<String>();
    let link = |url: &str| one("").replace("2.0.0.surefoot", url);
    for (what, body) in [
        ("no format", HEAD.replace("format = 1\n", "")),
        ("serial 0", HEAD.replace("serial = 7", "serial = 0")),
        ("serial below 0", HEAD.replace("serial = 7", "serial = -1")),
        ("valid for nothing", HEAD.replace("86400", "0")),
        ("valid for ever", HEAD.replace("86400", "9223372036854775807")),
        ("issued after the end of time", HEAD.replace("1800000000", "9223372036854775807")),
        ("a phase over 100 %", phases(&[(5, 101)])),
        ("a phase of 256 %", phases(&[(5, 256)])),
        ("phases that go back", phases(&[(5, 20), (6, 10)])),
        ("phases before each other", phases(&[(6, 10), (5, 20)])),
        ("too many releases", format!("{HEAD}{many}")),
        ("thousands of releases", format!("{HEAD}{thousands}")),
        ("a release twice", format!("{}{}", one(""), release("2.0.0", 2, ""))),
        ("for no device", one("").replace("[\"board\"]", "[]")),
        ("credentials", link("https://user:secret@h/x")),
        ("another scheme", link("file:///etc/shadow")),
        ("out of the folder", link("../../x")),
        ("a report by mail", HEAD.replace("serial", "report = \"mailto:x@y\"\nserial")),
        ("an option of two lines", format!("{HEAD}[[options]]\nkey = \"a\"\nvalue = \"b\\nc\"\n")),
        (
            "a delta from itself",
            one(&format!(
                "[[releases.deltas]]\nfrom = \"1\"\nbase = \"{}\"\nurl = \"d\"\nsize = 1",
                Digest::of(b"2.0.0")
            )),
        ),
        ("no TOML", "format = 1\n[[[".to_owned()),
    ] {
        assert_eq!(code(&signed(&body)), ReasonCode::ChannelInvalid, "{what}");
    }
    assert_eq!(code(&signed(&HEAD.replace("format = 1", "format = 2"))), ReasonCode::UpdaterTooOld);
    assert_eq!(code(&signed(&HEAD.replace("\"demo\"", "\"other\""))), ReasonCode::WrongProduct);
    // A later updater's words are passed over.
    assert_eq!(code(&signed(&HEAD.replace("serial", "later = 1\nserial"))), ReasonCode::Unknown);
}

#[test]
fn a_serial_never_goes_back_and_never_has_two_meanings() {
    let at = |serial: u32, more: &str| {
        channel(&format!("{}{more}", HEAD.replace("serial = 7", &format!("serial = {serial}"))))
    };
    let seven = at(7, "");
    let kept = [KeptSerial { name: name("stable"), serial: 7, digest: seven.digest }];
    let judged = |found: &Channel| judge_serial(found, &kept).map_err(|f| f.code());
    assert_eq!(judged(&seven), Ok(()));
    assert_eq!(judged(&at(8, "")), Ok(()));
    assert_eq!(judged(&at(6, "")), Err(ReasonCode::ChannelOlder));
    assert_eq!(judged(&at(7, "# other bytes\n")), Err(ReasonCode::ChannelChanged));
    let other = channel(&HEAD.replace("stable", "beta").replace("serial = 7", "serial = 1"));
    assert_eq!(judged(&other), Ok(()), "another channel counts for itself");
}

fn asker<'a>(board: &'a Identifier, tags: &'a [Identifier]) -> Asker<'a> {
    Asker {
        id: "device-1",
        tags,
        compatible: board,
        hardware: None,
        counter: 1,
        digest: Digest::of(b"1.0.0"),
        floor: 0,
        fresh: false,
        denied: &|_| false,
        now: 1_800_000_000,
    }
}

fn now(choice: &Choice<'_>) -> Option<String> {
    choice.now.map(|release| release.version.to_string())
}

#[test]
fn a_device_takes_the_newest_release_that_is_for_it_now() {
    let (board, canary) = (name("board"), [name("canary")]);
    let later = "[[releases.phases]]\nat = 1800000500\npercent = 100\n";
    let text = [
        HEAD,
        &release("2.0.0", 2, ""),
        &release("3.0.0", 3, later),
        &release("4.0.0", 4, "tags = [\"lab\"]"),
        &release("5.0.0", 5, "withdrawn = true"),
        &release("6.0.0", 6, "requires = [\"something-new\"]"),
        &release("7.0.0", 7, "hardware = [\"r2\"]"),
        &release("8.0.0", 8, "min_counter = 3"),
        &release("9.0.0", 9, "").replace("\"board\"", "\"other\""),
    ];
    let body = channel(&text.concat()).body;
    let plain = asker(&board, &[]);
    let choice = choose(&body, &plain);
    assert_eq!(now(&choice).as_deref(), Some("2.0.0"));
    let (waits, until) = choice.later.unwrap();
    assert_eq!((waits.version.as_str(), until), ("3.0.0", Waiting::Until(1_800_000_500)));
    let at = |asker: &Asker<'_>| now(&choose(&body, asker));
    assert_eq!(at(&Asker { now: 1_800_000_500, ..plain.clone() }).as_deref(), Some("3.0.0"));
    assert_eq!(at(&Asker { fresh: true, counter: 0, ..plain.clone() }).as_deref(), Some("3.0.0"));
    assert_eq!(at(&Asker { counter: 3, ..plain.clone() }).as_deref(), Some("8.0.0"));
    let r2 = name("r2");
    assert_eq!(at(&Asker { hardware: Some(&r2), ..plain.clone() }).as_deref(), Some("7.0.0"));
    let lab = [name("lab")];
    assert_eq!(at(&Asker { tags: &lab, ..plain.clone() }).as_deref(), Some("4.0.0"));
    assert_eq!(at(&Asker { tags: &canary, ..plain.clone() }).as_deref(), Some("2.0.0"));
    assert_eq!(at(&Asker { floor: 1, ..plain.clone() }), None);
    assert_eq!(at(&Asker { counter: 9, ..plain.clone() }), None);
    let two = Digest::of(b"2.0.0");
    let refused = |digest: &Digest| *digest == two;
    let back = choose(&body, &Asker { denied: &refused, ..plain.clone() });
    assert_eq!((now(&back), back.denied.map(|r| r.counter)), (None, Some(2)));
    assert!(body.withdraws(&Digest::of(b"5.0.0")) && !body.withdraws(&two));
}

#[test]
fn pauses_hold_every_device_and_tags_go_before_the_phases() {
    let (board, canary) = (name("board"), [name("canary")]);
    let never = "[[releases.phases]]\nat = 1\npercent = 0\n";
    let paused = channel(&format!("{HEAD}{}", release("2.0.0", 2, "paused = true"))).body;
    let zero = channel(&format!(
        "{HEAD}{}",
        release("2.0.0", 2, &format!("first = [\"canary\"]\n{never}"))
    ))
    .body;
    let plain = asker(&board, &[]);
    let waits = |body, asker: &Asker<'_>| choose(body, asker).later.map(|later| later.1);
    assert_eq!(waits(&paused, &plain), Some(Waiting::Paused));
    assert_eq!(waits(&paused, &Asker { fresh: true, ..plain.clone() }), Some(Waiting::Paused));
    assert_eq!(waits(&zero, &plain), Some(Waiting::NoPhase));
    assert_eq!(
        now(&choose(&zero, &Asker { tags: &canary, ..plain.clone() })).as_deref(),
        Some("2.0.0")
    );
    assert_eq!(now(&choose(&zero, &Asker { fresh: true, ..plain })).as_deref(), Some("2.0.0"));
}

#[test]
fn options_come_from_the_narrowest_that_is_meant() {
    let option = |who: &str, value: &str| {
        format!("[[options]]\nkey = \"log\"\nvalue = \"{value}\"\n{who}\n")
    };
    let text = [
        HEAD,
        &option("device = \"device-1\"", "mine"),
        &option("tag = \"canary\"", "tagged"),
        &option("", "all"),
    ];
    let body = channel(&text.concat()).body;
    let canary = [name("canary")];
    let of = |id, tags: &[Identifier]| body.options_for(id, tags)["log"].clone();
    assert_eq!(of("device-1", &canary), "mine");
    assert_eq!(of("other", &[]), "all");
    assert_eq!(of("other", &canary), "tagged");
}
