//! The command `test`, as U-Boot 2025.01 answers it (compared in tests/vm/agree.py).

/// Whether the words behind `test` hold. Terms are joined from the left; what is no term at all
/// holds, as in U-Boot. `-e` is not for here: it looks at a file system.
pub(super) fn holds(words: &[&str]) -> bool {
    // Fewer than two words are no expression.
    if words.len() < 2 {
        return false;
    }
    let (mut rest, negated) = match words {
        ["!", rest @ ..] => (rest, true),
        _ => (words, false),
    };
    let mut value = true;
    let mut joined: Option<bool> = None;
    while !rest.is_empty() {
        match rest {
            ["-o", tail @ ..] => (joined, rest) = (Some(false), tail),
            ["-a", tail @ ..] => (joined, rest) = (Some(true), tail),
            _ => {
                let Some((term, tail)) = term(rest) else {
                    value = true;
                    break;
                };
                value = match joined.take() {
                    Some(true) => value && term,
                    Some(false) => value || term,
                    None => term,
                };
                rest = tail;
            }
        }
    }
    value != negated
}

/// One comparison at the beginning, and what follows it.
fn term<'a, 'w>(words: &'a [&'w str]) -> Option<(bool, &'a [&'w str])> {
    let compared = match words {
        [a, "=" | "==", b, ..] => a == b,
        [a, "!=", b, ..] => a != b,
        [a, "<", b, ..] => a < b,
        [a, ">", b, ..] => a > b,
        [a, "-eq", b, ..] => integer(a) == integer(b),
        [a, "-ne", b, ..] => integer(a) != integer(b),
        [a, "-lt", b, ..] => integer(a) < integer(b),
        [a, "-le", b, ..] => integer(a) <= integer(b),
        [a, "-gt", b, ..] => integer(a) > integer(b),
        [a, "-ge", b, ..] => integer(a) >= integer(b),
        ["-z", text, ..] => return Some((text.is_empty(), &words[2..])),
        ["-n", text, ..] => return Some((!text.is_empty(), &words[2..])),
        _ => return None,
    };
    Some((compared, &words[3..]))
}

/// `simple_strtol(…, 0)`: `0x…` is hexadecimal, `0…` octal; the digits in front count.
fn integer(text: &str) -> i64 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => (16, hex),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let values = digits.chars().map_while(|c| c.to_digit(radix));
    sign * values.fold(0i64, |n, d| n.saturating_mul(radix.into()).saturating_add(d.into()))
}

#[cfg(test)]
mod tests {
    use super::holds;

    /// What the sandbox of U-Boot 2025.01 answers.
    #[test]
    fn comparisons_are_answered_as_u_boot_answers_them() {
        let cases: [(&[&str], bool); 21] = [
            (&[], false),
            (&["x"], false),
            (&["-z"], false),
            (&["-n"], false),
            (&["-z", ""], true),
            (&["-n", ""], false),
            (&["!", "a", "=", "b"], true),
            (&["a", "=", "b", "-o", "c", "=", "c"], true),
            (&["a", "=", "a", "-a", "c", "=", "d"], false),
            (&["3", "-gt", "2"], true),
            (&["3x", "-eq", "3"], true),
            (&["0x10", "-eq", "16"], true),
            (&["010", "-eq", "8"], true),
            (&["x", "-eq", "0"], true),
            (&["-5", "-lt", "3"], true),
            (&["a", "<", "b"], true),
            (&["a", "b"], true),
            (&["a", "foo", "b"], true),
            (&["a", "==", "a"], true),
            (&["a", "!=", "b"], true),
            (&["2", "-le", "1"], false),
        ];
        for (words, expected) in cases {
            assert_eq!(holds(words), expected, "{words:?}");
        }
    }
}
