//! Properties of requests for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::routes;
use crate::control::Head;
use crate::control::fuzz::{HEAD_MAX, P, body, head, length};
use crate::device::{Drill, Reboot};
use crate::model::{Digest, SlotId};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn route(head: &Head) {
    let routes::Asked::This(route) = routes::asked(head) else { return };
    let sound = routes::check(route, head).is_ok();
    for name in route.parameters {
        let _ = (routes::number(head, name), routes::flag(head, name));
        if let Some(value) = head.parameter(name)
            && sound
        {
            let _ = (
                value.parse::<SlotId>(),
                value.parse::<Drill>(),
                value.parse::<Reboot>(),
                value.parse::<Digest>(),
            );
        }
    }
}

/// A request: a part of a head is partial, and a body is as long as its head says or an error.
pub fn http(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    if mode & 1 == 1 {
        if let Ok(text) = std::str::from_utf8(data) {
            crate::stick::fuzz::listing(text)
        }
        return;
    }
    let data = &data[..data.len().min(HEAD_MAX)];
    match head(data) {
        P::Whole(h, n) => {
            assert!(n <= data.len());
            match head(&data[..usize::from(*mode) * n / 256]) {
                P::Partial => {}
                P::Whole(..) => panic!("a part of a head is whole"),
                P::Bad(s) => panic!("a part of a good head is bad {s}"),
            }
            match head(&data[..n]) {
                P::Whole(a, b) => assert!(a == h && b == n),
                _ => panic!(),
            }
            route(&h);
            let (here, mut there) = UnixStream::pair().unwrap();
            let after = &data[n..];
            let k = after.len() * usize::from(*mode) / 256;
            there.write_all(&after[k..]).unwrap();
            drop(there);
            let mut out = Vec::new();
            let r = body(here, after[..k].to_vec(), &h).take(1 << 20).read_to_end(&mut out);
            if let (Ok(_), Some(want)) = (&r, length(&h)) {
                assert_eq!(out.len() as u64, want);
            }
            assert!(out.len() <= after.len());
        }
        P::Partial => assert!(data.len() < HEAD_MAX),
        P::Bad(s) => assert!(matches!(s, 400 | 431)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_part_of_a_request_is_never_a_whole_one() {
        crate::model::corpus::run("http", super::http);
    }
}
