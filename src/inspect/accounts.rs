//! Who may log in with what: `/etc/passwd` and `/etc/shadow`.

use super::crypt;

/// Passwords that everybody knows, besides the name of the account itself.
const KNOWN: [&str; 8] = ["", "root", "admin", "password", "toor", "raspberry", "1234", "12345678"];

/// An account that can be logged in to with a password, or without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) opens: Opens,
}

/// What opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    /// No password at all.
    Nothing,
    /// One that everybody knows.
    Known(&'static str),
    /// Its own name.
    Name,
    /// Some password.
    Password,
}

/// All accounts that are not locked, by the texts of the two files.
pub(super) fn accounts(passwd: &str, shadow: &str) -> Vec<Account> {
    let mut found = Vec::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(own)) = (fields.next(), fields.next()) else { continue };
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let field = match own {
            "x" => hash_of(shadow, name),
            own => Some(own),
        };
        // A line that is missing in shadow locks, as the words for a locked account do.
        let Some(hash) = field else { continue };
        let opens = match hash {
            "" => Opens::Nothing,
            locked if locked.starts_with(['!', '*']) || locked == "x" => continue,
            hash => weak(name, hash).unwrap_or(Opens::Password),
        };
        found.push(Account { name: name.to_owned(), opens });
    }
    found
}

fn hash_of<'s>(shadow: &'s str, name: &str) -> Option<&'s str> {
    let mut lines = shadow.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.next())?)
}

fn weak(name: &str, hash: &str) -> Option<Opens> {
    let is = |password: &str| crypt::matches(password, hash) == Some(true);
    let known = KNOWN.into_iter().find(|password| is(password));
    match known {
        Some("") => Some(Opens::Nothing),
        Some(known) => Some(Opens::Known(known)),
        None => is(name).then_some(Opens::Name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_is_told_by_what_opens_it() {
        // openssl passwd -6 -salt surefoot root
        let root = "$6$surefoot$Q8i34Yz9VxC2DaHXxGbA4CRlJpjC98N82ZK15wweIigcOqF2NymM3zX/EfBc6vyBKC8QAzr1wsLt0Mj7pbu4K0";
        let passwd = "root:x:0:0::/root:/bin/sh\nlocked:x:1:1::/:/bin/sh\nbin:*:2:2::/:\nopen::3:3::/:\n\
                      nobody:x:9:9::/:\nold:$1$a$b:4:4::/:\n# x\n\nhalf\n";
        let shadow = format!("root:{root}:1::::::\nlocked:!:1::::::\nx\n");
        let found = accounts(passwd, &shadow);
        let told: Vec<_> = found.iter().map(|a| (a.name.as_str(), a.opens)).collect();
        let expected =
            [("root", Opens::Known("root")), ("open", Opens::Nothing), ("old", Opens::Password)];
        assert_eq!(told, expected);
        // openssl passwd -6 -salt surefoot pi
        let pi = "$6$surefoot$3UzGuKjf9lG1Z6ZkyyJM35zTAgmHVCDgIp5ZC8VigoOt4BjnJkS6WXY2eIqDIaKDtgLa.wdpTJHdF1JesH6Cn0";
        let found = accounts("pi:x:1000:1000::/:\n", &format!("pi:{pi}:1:\n"));
        assert_eq!(found[0].opens, Opens::Name);
        assert_eq!(accounts("root:x:0:0::/:\n", "root::1:\n")[0].opens, Opens::Nothing);
        assert_eq!(accounts("root:x:0:0::/:\n", "root:*:1:\n"), []);
        assert_eq!(accounts("root:x:0:0::/:\n", ""), []);
    }
}
