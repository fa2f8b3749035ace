//! Which of two valid copies counts.

/// Which of two valid copies U-Boot uses, 0 or 1, from their flags bytes: the larger one, except
/// that 0 follows 255; the first if they are equal (`env_check_redund`).
pub fn choose(flags0: u8, flags1: u8) -> usize {
    match (flags0, flags1) {
        (255, 0) => 1,
        (0, 255) => 0,
        (first, second) => usize::from(second > first),
    }
}

#[cfg(test)]
mod tests {
    use super::choose;

    /// The rule of U-Boot's source, written as it stands there: nested comparisons of serials.
    fn rule(first: u8, second: u8) -> usize {
        if first == 255 && second == 0 {
            return 1;
        }
        if second == 255 && first == 0 {
            return 0;
        }
        if first > second {
            return 0;
        }
        if second > first {
            return 1;
        }
        0
    }

    #[test]
    fn all_pairs_choose_as_u_boot_does_and_the_next_serial_always_wins() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let chosen = choose(first, second);
                assert_eq!(chosen, rule(first, second), "{first} {second}");
                let (mut a, mut b) = (first, second);
                match chosen {
                    0 => b = a.wrapping_add(1),
                    _ => a = b.wrapping_add(1),
                }
                assert_ne!(choose(a, b), chosen, "the copy just written must be used");
            }
        }
        assert_eq!(choose(254, 0), 0, "only the exact pair 255/0 wraps");
    }
}
