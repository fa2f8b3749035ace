/// Says that a test cannot run and why. The runner hides what a passing test prints, so `./check`
/// names a file in SUREFOOT_SKIPS, shows what is written there and counts it.
#[expect(unreachable_pub, reason = "included where it is used")]
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(file) = std::env::var_os("SUREFOOT_SKIPS") {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        writeln!(file.expect("SUREFOOT_SKIPS"), "{why}").expect("SUREFOOT_SKIPS");
    }
}
