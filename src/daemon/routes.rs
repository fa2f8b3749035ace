//! What can be asked for, as one table. docs/control.md describes it, and a test compares the two.

use crate::control::Head;
use crate::model::{Failure, ReasonCode, Result};

/// One thing that can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET` asks; `POST` has something done, and `PUT` is the same where a file is sent.
    pub methods: &'static [&'static str],
    /// Its path.
    pub path: &'static str,
    /// The parameters that it knows.
    pub parameters: &'static [&'static str],
    /// Whether its answer takes its time.
    pub(super) lasts: bool,
}

/// Everything that can be asked for.
pub const ROUTES: &[Route] = &[
    brief("/v1", &[]),
    brief("/v1/status", &[]),
    // These two run the health checks once.
    Route { methods: &["GET"], path: "/v1/why", parameters: &[], lasts: true },
    brief("/v1/history", &[]),
    Route { methods: &["GET"], path: "/v1/doctor", parameters: &[], lasts: true },
    Route { methods: &["GET"], path: "/v1/report", parameters: &[], lasts: true },
    Route { methods: &["GET"], path: "/v1/verify", parameters: &["slot"], lasts: true },
    Route { methods: &["GET"], path: "/v1/events", parameters: &["after", "follow"], lasts: true },
    Route {
        methods: &["POST", "PUT"],
        path: "/v1/install",
        parameters: &[
            "stage",
            "reboot",
            "dry_run",
            "hold_ok",
            "allow_older",
            "reinstall",
            "retry_rolled_back",
            "retry_cancelled",
            "automatic",
            "by",
            "progress",
        ],
        lasts: true,
    },
    Route {
        methods: &["POST", "PUT"],
        path: "/v1/judge",
        parameters: &["head", "by", "progress"],
        lasts: true,
    },
    deed("/v1/switch", &["by", "progress"]),
    deed("/v1/confirm", &["by", "progress"]),
    deed("/v1/commit", &["force", "reason", "by", "progress"]),
    deed("/v1/cancel", &["reason", "by", "progress"]),
    deed("/v1/rollback", &["reason", "retry_rolled_back", "by", "progress"]),
    deed("/v1/hold", &["seconds", "reason", "by", "progress"]),
    deed("/v1/release", &["by", "progress"]),
    deed("/v1/drill", &["kind", "by", "progress"]),
];

const fn brief(path: &'static str, parameters: &'static [&'static str]) -> Route {
    Route { methods: &["GET"], path, parameters, lasts: false }
}

const fn deed(path: &'static str, parameters: &'static [&'static str]) -> Route {
    Route { methods: &["POST"], path, parameters, lasts: true }
}

/// What a head asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    This(&'static Route),
    /// Something that is there, and knows other methods.
    OtherMethod(&'static Route),
    Nothing,
}

/// Finds it.
pub(super) fn asked(head: &Head) -> Asked {
    let is_root = |r: &Route| r.path == "/v1" && head.path == "/v1/";
    match ROUTES.iter().find(|r| r.path == head.path || is_root(r)) {
        Some(route) if route.methods.contains(&head.method.as_str()) => Asked::This(route),
        Some(route) => Asked::OtherMethod(route),
        None => Asked::Nothing,
    }
}

/// Refuses parameters that nobody knows: a `hold-ok` that was meant to be `hold_ok` is no order.
pub(super) fn check(route: &Route, head: &Head) -> Result<()> {
    for (at, (name, _)) in head.query.iter().enumerate() {
        if !route.parameters.contains(&name.as_str()) {
            let known = match route.parameters {
                [] => "it knows none".to_owned(),
                known => format!("it knows {}", known.join(", ")),
            };
            return Err(usage(format!("{} has no parameter `{name}`; {known}", route.path)));
        }
        if head.query[..at].iter().any(|(before, _)| before == name) {
            return Err(usage(format!("`{name}` is given twice")));
        }
    }
    Ok(())
}

/// A parameter that is a number.
pub(super) fn number(head: &Head, name: &str) -> Result<Option<u64>> {
    let read = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let found = text.parse().ok().filter(|_| digits);
        found.ok_or_else(|| usage(format!("`{name}={text}` is no number")))
    };
    head.parameter(name).map(read).transpose()
}

/// A parameter that is said or not: `stage`, `stage=1`, `stage=0`.
pub(super) fn flag(head: &Head, name: &str) -> Result<bool> {
    match head.parameter(name) {
        None | Some("0" | "false") => Ok(false),
        Some("" | "1" | "true") => Ok(true),
        Some(text) => Err(usage(format!("`{name}={text}` is neither 1 nor 0"))),
    }
}

pub(super) fn usage(text: String) -> Failure {
    Failure::new(ReasonCode::Usage, crate::model::printable(&text, 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, path: &str, query: &[(&str, &str)]) -> Head {
        let query = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Head::new(method, path, query)
    }

    #[test]
    fn what_is_there_is_told_from_what_is_not_and_from_another_method() {
        let of = |method, path| asked(&head(method, path, &[]));
        assert!(matches!(of("GET", "/v1"), Asked::This(_)));
        assert!(matches!(of("GET", "/v1/"), Asked::This(_)));
        assert!(matches!(of("PUT", "/v1/install"), Asked::This(_)));
        assert!(matches!(of("PUT", "/v1/hold"), Asked::OtherMethod(_)));
        assert!(matches!(of("get", "/v1/status"), Asked::OtherMethod(_)));
        for nothing in ["/", "", "/v2/status", "/v1/status/x", "/v1/status/", "//v1", "/v1/../v1"] {
            assert_eq!(of("GET", nothing), Asked::Nothing, "{nothing}");
        }
    }

    #[test]
    fn a_parameter_that_nobody_knows_is_no_order() {
        let install = |query: &[(&str, &str)]| {
            let head = head("POST", "/v1/install", query);
            let Asked::This(route) = asked(&head) else { panic!() };
            check(route, &head).map_err(|f| f.code())
        };
        assert_eq!(install(&[("stage", "1"), ("hold_ok", "")]), Ok(()));
        assert_eq!(install(&[("hold-ok", "1")]), Err(ReasonCode::Usage));
        assert_eq!(install(&[("stage", "1"), ("stage", "0")]), Err(ReasonCode::Usage));
    }

    #[test]
    fn values_are_what_they_say_or_refused() {
        for (text, value) in [("", true), ("1", true), ("0", false), ("false", false)] {
            assert_eq!(flag(&head("", "", &[("x", text)]), "x"), Ok(value), "{text}");
        }
        for text in ["yes", "2", "-1", "\u{1b}[2J"] {
            let failure = flag(&head("", "", &[("x", text)]), "x").unwrap_err();
            assert!(failure.detail().chars().all(|c| !c.is_control()), "{failure}");
        }
        let of = |text| number(&head("", "", &[("x", text)]), "x").ok().flatten();
        assert_eq!((of("7"), of("18446744073709551615")), (Some(7), Some(u64::MAX)));
        for text in ["", "+7", "-1", "1e3", "18446744073709551616", " 7"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
