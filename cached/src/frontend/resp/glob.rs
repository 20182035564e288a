//! Patterns of keys as Redis has them: `*`, `?`, `[a-z]`, `[^x]`, `\` before any. Pure.

/// Whether all of `text` is as `pattern` says. Takes time by the product of both
/// lengths at worst, whatever the pattern.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some(_) => text.get(t).and_then(|byte| one(&pattern[p..], *byte)),
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            // Only the last star need take more: what stands before it has matched.
            (None, Some((after, taken))) if taken < text.len() => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How much of the pattern is for one byte, if it lets that one through.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', inside @ ..] => {
            let (length, lets_through) = class(inside, byte);
            lets_through.then_some(length + 1)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// What stands in brackets: how long it is with the closing one, and whether `byte`
/// is in it. One that is not closed ends with the pattern.
fn class(inside: &[u8], byte: u8) -> (usize, bool) {
    let negated = inside.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &inside[at..] {
            [] => return (at, found != negated),
            [b']', ..] => return (at + 1, found != negated),
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                let (low, high) = (first.min(last), first.max(last));
                found |= (low..=high).contains(&&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "b", false),
            ("a*c", "abbbc", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h[a-b]llo", "hcllo", false),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[ab", "b", true),
            ("a\\", "a\\", true),
        ];
        for (pattern, text, expected) in cases {
            let found = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn texts_match_themselves_and_every_beginning(text in "[a-c]{0,12}", cut: prop::sample::Index) {
            let cut = if text.is_empty() { 0 } else { cut.index(text.len()) };
            let beginning = format!("{}*", &text[..cut]);
            prop_assert!(matches(text.as_bytes(), text.as_bytes()));
            prop_assert!(matches(beginning.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_pattern_does_harm(pattern in "[*?\\[\\]\\\\^a-]{0,12}", text in "[a\\]^-]{0,12}") {
            matches(pattern.as_bytes(), text.as_bytes());
        }
    }
}
