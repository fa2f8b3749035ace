//! A script as words and separators.

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands.
    Text(String),
    /// A variable's value. Outside of quotes it is split at blanks.
    Variable { name: String, quoted: bool },
}

/// A word before its variables are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    /// Some of it stood in quotes: it is a word even if nothing is left of it.
    pub(super) quoted: bool,
}

impl Word {
    /// The word if nothing in it is quoted or filled in: only such a word can be a keyword.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] if !self.quoted => Some(text),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `;` or the end of a line.
    End,
    And,
    Or,
}

/// Splits a script. The error names what this shell does not know.
pub(super) fn split(text: &str) -> Result<Vec<Token>, String> {
    let mut chars = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' | '\r' => drop(chars.next()),
            ';' | '\n' => {
                chars.next();
                tokens.push(Token::End);
            }
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '&' | '|' => {
                chars.next();
                if chars.next() != Some(c) {
                    return Err(format!("a single `{c}`"));
                }
                tokens.push(if c == '&' { Token::And } else { Token::Or });
            }
            _ => tokens.push(Token::Word(word(&mut chars)?)),
        }
    }
    Ok(tokens)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn word(chars: &mut Chars<'_>) -> Result<Word, String> {
    let mut word = Word { parts: Vec::new(), quoted: false };
    let mut text = String::new();
    let mut inside = None;
    while let Some(&c) = chars.peek() {
        match (inside, c) {
            (None, ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|') => break,
            (None, '"' | '\'') => {
                chars.next();
                (inside, word.quoted) = (Some(c), true);
            }
            (Some(open), _) if c == open => {
                chars.next();
                inside = None;
            }
            (Some('"') | None, '$') => {
                chars.next();
                if !text.is_empty() {
                    word.parts.push(Part::Text(std::mem::take(&mut text)));
                }
                let name = variable(chars)?;
                word.parts.push(Part::Variable { name, quoted: inside.is_some() });
            }
            (Some('"') | None, '\\' | '`') | (None, '(' | ')' | '<' | '>' | '{' | '}') => {
                return Err(format!("the sign `{c}`"));
            }
            _ => {
                chars.next();
                text.push(c);
            }
        }
    }
    if inside.is_some() {
        return Err("a quote that is not closed".into());
    }
    if !text.is_empty() {
        word.parts.push(Part::Text(text));
    }
    Ok(word)
}

/// The name behind a `$`: `${name}` or `$name`.
fn variable(chars: &mut Chars<'_>) -> Result<String, String> {
    let braced = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if name.is_empty() || (braced && chars.next() != Some('}')) {
        return Err(format!("what follows `$` at `{name}`"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_words() {
        let tokens = split("if test \"x${a}\" = xb; then # why\n c ${d}e && f").unwrap();
        let words: Vec<String> = tokens
            .iter()
            .map(|t| match t {
                Token::Word(w) => {
                    w.plain().map_or_else(|| format!("{:?}", w.parts.len()), String::from)
                }
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(words.join(" "), "if test 2 = xb End then End c 2 And f");
    }

    #[test]
    fn what_is_not_known_is_named() {
        for bad in ["a & b", "\"a", "$(x)", "a > b", "echo \\;", "${", "$"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
