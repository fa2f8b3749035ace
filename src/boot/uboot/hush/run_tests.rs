//! Scripts and where they end.

use super::{Board, Budget, Halt, Shell};
use std::collections::BTreeMap;

#[derive(Default)]
struct Fake {
    env: BTreeMap<String, String>,
    lines: Vec<String>,
}

impl Board for Fake {
    fn get(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
    fn set(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => drop(self.env.insert(name.into(), value.into())),
            None => drop(self.env.remove(name)),
        }
    }
    fn command(&mut self, words: &[&str]) -> Result<bool, Halt> {
        match words {
            ["booti", ..] => Err(Halt::Booted),
            other => Err(Halt::Unknown(format!("the command `{}`", other.join(" ")))),
        }
    }
    fn script_at(&mut self, _: &str) -> Result<Result<String, String>, Halt> {
        Ok(Err("no script".into()))
    }
    fn print(&mut self, line: &str) {
        self.lines.push(line.into());
    }
}

fn console(script: &str) -> (Vec<String>, Result<bool, Halt>) {
    let mut fake = Fake::default();
    fake.env.insert("two".into(), "b  c".into());
    fake.env.insert("empty".into(), String::new());
    fake.env.insert("again".into(), "echo again; run again".into());
    let result = Shell::within(&mut fake, Budget::default()).run(script);
    (fake.lines, result)
}

#[test]
fn words_are_split_where_a_shell_splits_them() {
    let cases = [
        ("echo a${two}d", "ab cd"),
        ("echo \"a${two}d\"", "ab  cd"),
        ("echo ${none} x ${empty}", "x"),
        ("x=1; y=${x}2; echo ${y}", "12"),
        ("x=; if test -z \"${x}\"; then echo empty; fi", "empty"),
        ("for i in 1 ${two} ${none}; do l=\"${l}${i}\"; done; echo ${l}", "1bc"),
        ("test a = b && echo no; test a = a && echo yes", "yes"),
        ("test a = b || echo no", "no"),
        ("test a = a && test b = c || echo or", "or"),
        ("if test \"x${none}\" = \"x\"; then echo x; else echo y; fi", "x"),
        ("if test a = b; then echo 1; elif test c = c; then echo 2; else echo 3; fi", "2"),
        ("setenv v a b; echo \"${v}\"; setenv v; echo ${v}end", "a b|end"),
        ("two=mine; echo ${two}", "b c"),
        ("run none || echo undefined", "## Error: \"none\" not defined|undefined"),
        ("# comment\necho a # b\n\n", "a"),
        ("setenv n 1; while test ${n} != 111; do echo ${n}; setenv n 1${n}; done", "1|11"),
        ("until test \"${n}\" = x; do echo once; setenv n x; done", "once"),
        ("env set n 1 2; echo ${n}; env delete n; env exists n || echo gone", "1 2|gone"),
        ("setenv -f n 1; env run none || echo ${n}", "## Error: \"none\" not defined|1"),
    ];
    for (script, expected) in cases {
        let (lines, result) = console(script);
        assert_eq!(lines.join("|"), expected, "{script}: {result:?}");
    }
}

#[test]
fn a_boot_ends_the_script_and_a_loop_is_found() {
    assert_eq!(console("booti 1; echo never"), (vec![], Err(Halt::Booted)));
    let (lines, result) = console("run again");
    assert_eq!(result, Err(Halt::Loop));
    assert!(lines.len() > 3);
    assert!(matches!(console("frobnicate 1").1, Err(Halt::Unknown(_))));
}

/// None may overflow the stack, use up the memory or run for ever: each ends with a word.
#[test]
fn a_script_without_measure_is_stopped_with_a_reason() {
    let nested = |open: &str, close: &str, n: usize| {
        format!("{} echo x; {}", open.repeat(n), close.repeat(n))
    };
    let long = "x".repeat(40_000);
    let many = (0..3_000).map(|i| format!("setenv v{i} ${{big}};")).collect::<String>();
    let (words, steps) = ("a b c d e f g h i j", Halt::Spent("commands"));
    let bytes = Halt::Spent("bytes of text");
    let deep = |text: String| (text, None);
    for (script, wanted) in [
        deep("if ".repeat(100_000)[..200_000].to_owned()),
        deep(nested("if true; then ", "fi; ", 5_000)),
        deep(nested("for i in a; do ", "done; ", 5_000)),
        deep(nested("while true; do ", "done; ", 5_000)),
        deep(nested("if if ", "", 50_000)),
        deep("elif ".repeat(40_000)),
        deep("if ".repeat(100_000)),
        deep(format!("# {}", "x".repeat(300_000))),
        (nested(&format!("for i in {words}; do "), "done; ", 12), Some(steps.clone())),
        (nested(&format!("for i in {words}; do x=1; "), "done; ", 7), Some(steps.clone())),
        ("while true; do true; done".into(), Some(steps.clone())),
        ("until false; do x=1; done".into(), Some(steps.clone())),
        ("while true; do echo; done".into(), Some(steps.clone())),
        (
            "a=x; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34; do a=${a}${a}; done".into(),
            Some(bytes.clone()),
        ),
        ("setenv a x; while true; do setenv a ${a}${a}; done".into(), Some(bytes.clone())),
        (format!("big={long}; while true; do echo ${{big}}; done"), Some(bytes.clone())),
        (format!("setenv big {long}; {many}"), Some(bytes.clone())),
        (format!("setenv big {long}; x={}", "${big}".repeat(5_000)), Some(bytes.clone())),
        ("setenv big 'a b'; while true; do setenv big ${big} ${big}; done".into(), Some(bytes)),
        ("run again".into(), Some(Halt::Loop)),
        ("setenv y 'run x'; setenv x 'run y'; run x".into(), Some(Halt::Loop)),
        ("setenv x 'run x || run x; run x x x'; run x".into(), Some(Halt::Loop)),
        ("setenv bootcmd boot; boot".into(), Some(Halt::Loop)),
        ("setenv x 'if true; then for i in 1 2; do run x; done; fi'; run x".into(), Some(Halt::Loop)),
    ] {
        let result = console(&script).1;
        let start: String = script.chars().take(60).collect();
        match wanted {
            Some(halt) => assert_eq!(result, Err(halt), "{start}"),
            None => assert!(matches!(result, Err(Halt::Unknown(_))), "{start}: {result:?}"),
        }
    }
}
