//! A line that is too long says at its end why it was written.

use super::printable;

/// `text` as one printable line of about `limit` characters: of a longer one the beginning and the
/// end, and `…` between them.
pub fn both_ends(text: &str, limit: usize) -> String {
    let text = text.trim_end();
    let len = text.chars().count();
    if len <= limit {
        return printable(text, limit);
    }
    let half = limit / 2;
    let tail: String = text.chars().skip(len - half).collect();
    format!("{}{}", printable(text, half), printable(&tail, half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_both_ends_and_stays_printable() {
        assert_eq!(both_ends("abc", 3), "abc");
        assert_eq!(both_ends("abcdefgh", 4), "ab…gh");
        let long = format!("{}\u{1b}[2Jno space left", "x".repeat(900));
        let told = both_ends(&long, 100);
        assert!(told.ends_with("?[2Jno space left") && told.chars().count() == 101, "{told}");
    }
}
