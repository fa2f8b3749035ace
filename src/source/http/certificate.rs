//! What a certificate says of itself, for people: who has made it, and from when until when it is good.
//! Nothing is decided by it.

/// A piece of DER: its kind, what is in it, and what follows it.
fn piece(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, first, rest @ ..] = bytes else { return None };
    let (len, rest) = match first {
        0..=127 => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (inside, after) = rest.split_at_checked(len)?;
    Some((*kind, inside, after))
}

/// The end of the object identifiers of common name and organisation (X.520: 2.5.4.3 and 2.5.4.10).
const NAMES: [&[u8]; 2] = [&[0x55, 4, 3], &[0x55, 4, 10]];

/// `maker, good from DATE until DATE`; `None` for what is no certificate.
pub(super) fn describe(der: &[u8]) -> Option<String> {
    let (_, certificate, _) = piece(der)?;
    let (_, signed, _) = piece(certificate)?;
    let (kind, _, mut rest) = piece(signed)?;
    // A version, where there is one; then the number, and the kind of signature.
    if kind == 0xa0 {
        rest = piece(rest)?.2;
    }
    rest = piece(rest)?.2;
    let (_, maker, rest) = piece(rest)?;
    let (_, dates, _) = piece(rest)?;
    let (_, from, rest) = piece(dates)?;
    let (_, until, _) = piece(rest)?;
    let [from, until] = [from, until].map(date);
    Some(format!("made by {}, good from {} until {}", name(maker), from?, until?))
}

/// `YYMMDD…` or `YYYYMMDD…` as `YYYY-MM-DD`.
fn date(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok().filter(|t| t.is_ascii())?;
    let text = match text.len() {
        // RFC 5280: two digits mean 1950 to 2049.
        13 if text < "5" => format!("20{text}"),
        13 => format!("19{text}"),
        _ => text.to_owned(),
    };
    Some(format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..8)?))
}

fn name(mut parts: &[u8]) -> String {
    let mut found = Vec::new();
    while let Some((_, set, rest)) = piece(parts) {
        parts = rest;
        let pair = piece(set).and_then(|(_, pair, _)| piece(pair));
        let Some((_, kind, value)) = pair else { break };
        if NAMES.contains(&kind)
            && let Some((_, text, _)) = piece(value)
        {
            found.push(String::from_utf8_lossy(text).into_owned());
        }
    }
    if found.is_empty() { "a maker without a name".to_owned() } else { found.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maker_and_dates_are_read() {
        let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 2, 3);
        params.not_after = rcgen::date_time_ymd(2150, 12, 31);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Workshop");
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let said = describe(made.der()).unwrap();
        assert_eq!(said, "made by Workshop, good from 2020-02-03 until 2150-12-31");
        for len in 0..made.der().len() {
            let _ends = describe(&made.der()[..len]);
        }
        assert_eq!(describe(b""), None);
    }
}
