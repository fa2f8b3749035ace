//! From the head of an HTTP request to a request, and back.

use super::query::{Query, usage};
use super::response::Response;
use super::table::{ROUTES, Request};
use crate::control::Head;
use crate::model::Result;
use serde_json::Value;

/// How something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `GET`, and answered at once.
    Question,
    /// `GET`, and answered when a slot is read, or checks are run, or something happens.
    LongQuestion,
    /// `POST`: has something done.
    Order,
    /// The same with an artifact: `PUT` too, where a file is sent.
    Delivery,
}

/// A row of the table.
#[derive(Debug)]
pub struct Route {
    pub(super) form: Form,
    /// Its path.
    pub path: &'static str,
    /// Its own parameters.
    pub(super) own: &'static [&'static str],
    pub(super) read: fn(&Query<'_>) -> Result<Request>,
    /// Reads the document that answers it.
    pub(super) answer: fn(&Value) -> Result<Response>,
}

/// Who is to stand in the record, and whether events are told on the way: known to every order.
const OF_ORDERS: &[&str] = &["by", "progress"];

/// What a head asks for.
#[derive(Debug)]
pub struct Wanted {
    /// The request itself.
    pub request: Request,
    /// Who is to stand in the record.
    pub by: Option<String>,
    /// Events are told as they come, and the answer last.
    pub progress: bool,
}

/// What a head names.
#[derive(Debug)]
pub enum Asked {
    /// A row of the table.
    This(&'static Route),
    /// Something that is there, and knows other methods.
    OtherMethod(&'static Route),
    /// Nothing.
    Nothing,
}

impl Asked {
    /// Finds it.
    pub fn by(head: &Head) -> Asked {
        let path = if head.path == "/v1/" { "/v1" } else { &head.path };
        match ROUTES.iter().copied().find(|route| route.path == path) {
            Some(route) if route.methods().contains(&head.method.as_str()) => Asked::This(route),
            Some(route) => Asked::OtherMethod(route),
            None => Asked::Nothing,
        }
    }
}

impl Route {
    /// The methods that it knows, the usual one first.
    pub fn methods(&self) -> &'static [&'static str] {
        match self.form {
            Form::Question | Form::LongQuestion => &["GET"],
            Form::Order => &["POST"],
            Form::Delivery => &["POST", "PUT"],
        }
    }

    /// Whether it has something done, or is handed an artifact.
    pub fn is_order(&self) -> bool {
        matches!(self.form, Form::Order | Form::Delivery)
    }

    /// Whether its answer takes its time.
    pub fn lasts(&self) -> bool {
        self.form != Form::Question
    }

    /// The parameters that it knows.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> + use<> {
        let common = if self.is_order() { OF_ORDERS } else { &[] };
        self.own.iter().chain(common).copied()
    }

    /// Reads the request. `USAGE` for a parameter that is not known, is given twice, or makes no
    /// sense: a `hold-ok` that was meant to be `hold_ok` is no order.
    pub fn read(&self, head: &Head) -> Result<Wanted> {
        for (at, (name, _)) in head.query.iter().enumerate() {
            if !self.parameters().any(|known| known == name) {
                let known: Vec<&str> = self.parameters().collect();
                let known = match known.is_empty() {
                    true => "it knows none".to_owned(),
                    false => format!("it knows {}", known.join(", ")),
                };
                return Err(usage(format!("{} has no parameter `{name}`; {known}", self.path)));
            }
            if head.query[..at].iter().any(|(before, _)| before == name) {
                return Err(usage(format!("`{name}` is given twice")));
            }
        }
        let query = Query(head);
        let (by, progress) = (query.text("by")?, query.flag("progress")?);
        Ok(Wanted { request: (self.read)(&query)?, by, progress })
    }
}

impl Request {
    /// Whether an artifact goes with it.
    pub fn takes_artifact(&self) -> bool {
        let fetched = match self {
            Request::Install { url, .. } => url.is_some(),
            #[cfg(feature = "apps")]
            Request::AppsInstall { url, .. } => url.is_some(),
            _ => false,
        };
        matches!(self.write().0.form, Form::Delivery) && !fetched
    }

    /// What is asked for in an HTTP request, and its row: `/v1/hold?seconds=600`. `by` is for an order
    /// whose record is to name somebody else than the kernel does.
    pub fn target(&self, by: Option<&str>) -> (&'static Route, String) {
        let (route, mut words) = self.write();
        if route.is_order() {
            words.text("by", &by.map(str::to_owned));
            words.flag("progress", &true);
        }
        (route, format!("{}{words}", route.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReasonCode, SlotId};
    use crate::update::Drill;
    use crate::update::Reboot;
    use std::collections::BTreeSet;

    fn head(method: &str, path: &str, query: &[(&str, &str)]) -> Head {
        let query = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Head::new(method, path, query)
    }

    fn read(method: &str, path: &str, query: &[(&str, &str)]) -> Result<Wanted> {
        let head = head(method, path, query);
        let Asked::This(route) = Asked::by(&head) else { panic!("{method} {path}") };
        route.read(&head)
    }

    #[test]
    fn what_is_there_is_told_from_what_is_not_and_from_another_method() {
        let of = |method, path| Asked::by(&head(method, path, &[]));
        assert!(matches!(of("GET", "/v1"), Asked::This(_)));
        assert!(matches!(of("GET", "/v1/"), Asked::This(_)));
        assert!(matches!(of("PUT", "/v1/install"), Asked::This(_)));
        assert!(matches!(of("PUT", "/v1/hold"), Asked::OtherMethod(_)));
        assert!(matches!(of("get", "/v1/status"), Asked::OtherMethod(_)));
        for nothing in ["/", "", "/v2/status", "/v1/status/x", "/v1/status/", "//v1", "/v1/../v1"] {
            assert!(matches!(of("GET", nothing), Asked::Nothing), "{nothing}");
        }
    }

    #[test]
    fn no_path_and_no_parameter_stands_twice() {
        let paths: BTreeSet<&str> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(paths.len(), ROUTES.len());
        for route in ROUTES {
            let all: Vec<_> = route.parameters().collect();
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
        }
    }

    #[test]
    fn a_parameter_that_is_not_known_is_no_order() {
        let install = |query: &[(&str, &str)]| {
            read("POST", "/v1/install", query).map(|_| ()).map_err(|f| f.code())
        };
        assert_eq!(install(&[("stage", "1"), ("hold_ok", "")]), Ok(()));
        assert_eq!(install(&[("hold-ok", "1")]), Err(ReasonCode::Usage));
        assert_eq!(install(&[("stage", "1"), ("stage", "0")]), Err(ReasonCode::Usage));
        let follows = read("GET", "/v1/status", &[("progress", "1")]);
        assert!(follows.unwrap_err().detail().contains("knows none"));
    }

    #[test]
    fn values_are_what_they_say_or_refused() {
        let follow = |text: &str| match read("GET", "/v1/events", &[("follow", text)]) {
            Ok(Wanted { request: Request::Events { follow, .. }, .. }) => Ok(follow),
            other => Err(other.unwrap_err()),
        };
        for (text, value) in [("", true), ("1", true), ("0", false), ("false", false)] {
            assert_eq!(follow(text), Ok(value), "{text}");
        }
        for text in ["yes", "2", "-1", "\u{1b}[2J"] {
            let failure = follow(text).unwrap_err();
            assert!(failure.detail().chars().all(|c| !c.is_control()), "{failure}");
        }
        let after = |text: &str| match read("GET", "/v1/events", &[("after", text)]) {
            Ok(Wanted { request: Request::Events { after, .. }, .. }) => after,
            _ => None,
        };
        assert_eq!((after("7"), after("18446744073709551615")), (Some(7), Some(u64::MAX)));
        for text in ["", "+7", "-1", "1e3", "18446744073709551616", " 7"] {
            assert_eq!(after(text), None, "{text}");
        }
        let reboot = |text: &str| match read("PUT", "/v1/install", &[("reboot", text)]) {
            Ok(Wanted { request: Request::Install { reboot, .. }, .. }) => reboot,
            _ => None,
        };
        let now = Some(Reboot::Now);
        assert_eq!([reboot(""), reboot("1"), reboot("now"), reboot("2")], [now, now, now, None]);
        assert_eq!(reboot("window"), Some(Reboot::Window));
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let reason = Some("a cable & more = 100 % \u{e4}\n".to_owned());
        for (by, request) in [
            (None, Request::Status),
            (None, Request::Verify { slot: Some(SlotId::B) }),
            (None, Request::Events { after: Some(0), follow: true }),
            (Some("stick"), Request::Judge { head: true }),
            (None, Request::Judge { head: false }),
            (Some("a b"), Request::Hold { seconds: Some(u64::MAX), reason: reason.clone() }),
            (None, Request::Commit { force: true, reason: reason.clone() }),
            (None, Request::Rollback { reason, retry_rolled_back: true }),
            (None, Request::Drill { kind: Some(Drill::Hang) }),
            (None, Request::Unhold),
        ] {
            let (route, target) = request.target(by);
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let text = format!("{} {target} HTTP/1.1\r\n\r\n", route.methods()[0]);
            let crate::control::fuzz::P::Whole(head, _) =
                crate::control::fuzz::head(text.as_bytes())
            else {
                panic!("{path} {query}");
            };
            let again = route.read(&head).unwrap();
            assert_eq!((&again.request, again.by.as_deref()), (&request, by), "{target}");
            assert_eq!(again.progress, route.is_order(), "{target}");
        }
    }
}
