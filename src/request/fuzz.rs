//! Properties of requests for fuzzers and tests.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "properties: they panic where one does not hold, on bytes that a fuzzer makes"
)]

use super::{Asked, Wanted};
use crate::control::Head;
use crate::control::fuzz::{HEAD_MAX, P, body, head, length};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// A request that is understood is the same one when it is written and read again.
fn route(h: &Head) {
    let Asked::This(route) = Asked::by(h) else { return };
    let Ok(Wanted { request, by, .. }) = route.read(h) else { return };
    let (same, target) = request.target(by.as_deref());
    assert!(std::ptr::eq(route, same), "{target}");
    let text = format!("{} {target} HTTP/1.1\r\n\r\n", route.methods()[0]);
    // Encoded it may be longer than a head that came.
    let P::Whole(again, _) = head(text.as_bytes()) else {
        assert!(text.len() > HEAD_MAX, "{target} is no head");
        return;
    };
    let again = route.read(&again).unwrap();
    assert_eq!(again.request, request);
    assert_eq!(again.by, by.filter(|_| route.is_order()));
}

/// A request: a part of a head is partial, and a body is as long as its head says or an error.
pub fn http(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
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
