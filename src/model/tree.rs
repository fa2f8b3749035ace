//! Reading a type of ours from a document that is parsed already, JSON or TOML. There is one reader for both:
//! what reads a type is compiled anew for each kind of reader, and three of them took a tenth of the program.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, Expected, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;
use std::fmt;

/// Reads JSON. Of a key that is there twice the last one counts.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    let value = serde_json::from_slice(bytes);
    from_value(&value.map_err(Unread::custom)?)
}

/// Reads a JSON document.
pub fn from_value<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, Unread> {
    read(Node::Json(value), &|_| ())
}

/// Reads a TOML document. `ignored` is told the path of each key that nothing asked for: `hook.1.colour`.
pub fn from_toml<T: DeserializeOwned>(
    table: &toml::Table,
    ignored: &dyn Fn(&str),
) -> Result<T, Unread> {
    read(Node::Table(table), ignored)
}

fn read<T: DeserializeOwned>(node: Node<'_>, ignored: &dyn Fn(&str)) -> Result<T, Unread> {
    let trail = Trail { ignored, up: None, step: Step::Key("") };
    T::deserialize(At { node, trail: &trail })
}

/// Why a document is not of the type that was asked for.
#[derive(Debug)]
pub struct Unread(Box<Why>);

#[derive(Debug)]
struct Why {
    path: Option<String>,
    message: String,
}

impl Unread {
    /// Where: `device.product`, `hook.1`. Empty for the document itself.
    pub fn path(&self) -> &str {
        self.0.path.as_deref().unwrap_or_default()
    }

    /// What is wrong there.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The innermost place counts.
    fn at(mut self, trail: &Trail<'_>) -> Unread {
        self.0.path.get_or_insert_with(|| trail.path());
        self
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            "" => f.write_str(self.message()),
            path => write!(f, "{path}: {}", self.message()),
        }
    }
}

impl std::error::Error for Unread {}

impl Error for Unread {
    fn custom<T: fmt::Display>(message: T) -> Unread {
        Unread(Box::new(Why { path: None, message: message.to_string() }))
    }
}

/// The way from the document to one of its parts.
struct Trail<'t> {
    ignored: &'t dyn Fn(&str),
    up: Option<&'t Trail<'t>>,
    step: Step<'t>,
}

#[derive(Clone, Copy)]
enum Step<'t> {
    Key(&'t str),
    Index(usize),
}

impl<'t> Trail<'t> {
    fn then(&'t self, step: Step<'t>) -> Trail<'t> {
        Trail { ignored: self.ignored, up: Some(self), step }
    }

    fn path(&self) -> String {
        let Some(up) = self.up else { return String::new() };
        let mut path = up.path();
        if !path.is_empty() {
            path.push('.');
        }
        match self.step {
            Step::Key(key) => path.push_str(key),
            Step::Index(index) => path.push_str(&index.to_string()),
        }
        path
    }
}

/// A part of a document.
enum Node<'a> {
    Json(&'a serde_json::Value),
    Toml(&'a toml::Value),
    Table(&'a toml::Table),
    /// A date of TOML, as it is written.
    Date(String),
}

/// The same without the difference between the two.
enum Shape<'a> {
    Nothing,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Nodes<'a>),
    Map(Fields<'a>),
}

type Nodes<'a> = Box<dyn Iterator<Item = Node<'a>> + 'a>;
type Fields<'a> = Box<dyn Iterator<Item = (&'a str, Node<'a>)> + 'a>;

/// The key by which the `toml` crate knows one of its dates again.
const DATE: &str = "$__toml_private_datetime";

impl<'a> Node<'a> {
    fn shape(self) -> Shape<'a> {
        match self {
            Node::Json(value) => of_json(value),
            Node::Toml(value) => of_toml(value),
            Node::Table(table) => of_table(table),
            Node::Date(text) => Shape::Text(text.into()),
        }
    }
}

fn of_json(value: &serde_json::Value) -> Shape<'_> {
    use serde_json::Value;
    match value {
        Value::Null => Shape::Nothing,
        Value::Bool(is) => Shape::Bool(*is),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(n), _) => Shape::Unsigned(n),
            (None, Some(n)) => Shape::Signed(n),
            (None, None) => Shape::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Shape::Text(text.into()),
        Value::Array(items) => Shape::List(Box::new(items.iter().map(Node::Json))),
        Value::Object(fields) => Shape::Map(Box::new(
            fields.iter().map(|(key, value)| (key.as_str(), Node::Json(value))),
        )),
    }
}

fn of_toml(value: &toml::Value) -> Shape<'_> {
    use toml::Value;
    match value {
        Value::Boolean(is) => Shape::Bool(*is),
        Value::Integer(n) => Shape::Signed(*n),
        Value::Float(n) => Shape::Float(*n),
        Value::String(text) => Shape::Text(text.into()),
        Value::Datetime(date) => {
            Shape::Map(Box::new(std::iter::once((DATE, Node::Date(date.to_string())))))
        }
        Value::Array(items) => Shape::List(Box::new(items.iter().map(Node::Toml))),
        Value::Table(table) => of_table(table),
    }
}

fn of_table(table: &toml::Table) -> Shape<'_> {
    Shape::Map(Box::new(table.iter().map(|(key, value)| (key.as_str(), Node::Toml(value)))))
}

impl Shape<'_> {
    /// The failure where something else is expected.
    fn instead_of(&self, expected: &dyn Expected) -> Unread {
        let found = match self {
            // As the readers of JSON name it.
            Shape::Nothing => Unexpected::Other("null"),
            Shape::Bool(is) => Unexpected::Bool(*is),
            Shape::Signed(n) => Unexpected::Signed(*n),
            Shape::Unsigned(n) => Unexpected::Unsigned(*n),
            Shape::Float(n) => Unexpected::Float(*n),
            Shape::Text(text) => Unexpected::Str(text),
            Shape::List(_) => Unexpected::Seq,
            Shape::Map(_) => Unexpected::Map,
        };
        Unread::invalid_type(found, expected)
    }
}

/// A part of a document, and the way to it: what a type is read from.
struct At<'a, 't> {
    node: Node<'a>,
    trail: &'t Trail<'t>,
}

/// What is asked for by name, and the shapes that answer it.
macro_rules! answers {
    ($($method:ident: $($shape:ident => $visit:ident),+;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
            match self.node.shape() {
                $(Shape::$shape(found) => visitor.$visit(found),)+
                other => Err(other.instead_of(&visitor)),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for At<'de, '_> {
    type Error = Unread;

    answers! {
        deserialize_bool: Bool => visit_bool;
        deserialize_u8: Unsigned => visit_u64, Signed => visit_i64;
        deserialize_u16: Unsigned => visit_u64, Signed => visit_i64;
        deserialize_u32: Unsigned => visit_u64, Signed => visit_i64;
        deserialize_u64: Unsigned => visit_u64, Signed => visit_i64;
        deserialize_i64: Unsigned => visit_u64, Signed => visit_i64;
        deserialize_f64: Unsigned => visit_u64, Signed => visit_i64, Float => visit_f64;
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.node.shape() {
            Shape::Text(text) => visitor.visit_str(&text),
            other => Err(other.instead_of(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let trail = self.trail;
        match self.node.shape() {
            Shape::List(rest) => list(rest, trail, visitor),
            other => Err(other.instead_of(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let trail = self.trail;
        match self.node.shape() {
            Shape::Map(rest) => visitor.visit_map(Map { rest, trail, next: None }),
            other => Err(other.instead_of(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        self.deserialize_map(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let trail = self.trail;
        match self.node.shape() {
            Shape::Nothing => visitor.visit_unit(),
            Shape::Bool(is) => visitor.visit_bool(is),
            Shape::Signed(n) => visitor.visit_i64(n),
            Shape::Unsigned(n) => visitor.visit_u64(n),
            Shape::Float(n) => visitor.visit_f64(n),
            Shape::Text(text) => visitor.visit_str(&text),
            Shape::List(rest) => list(rest, trail, visitor),
            Shape::Map(rest) => visitor.visit_map(Map { rest, trail, next: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.node {
            Node::Json(serde_json::Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unread> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        let trail = self.trail;
        match self.node.shape() {
            Shape::Text(name) => visitor.visit_enum(Variant { name, content: None, trail }),
            Shape::Map(mut fields) => match (fields.next(), fields.next()) {
                (Some((name, node)), None) => {
                    let (name, content) = (name.into(), Some(node));
                    visitor.visit_enum(Variant { name, content, trail })
                }
                _ => Err(Unread::invalid_value(Unexpected::Map, &"map with a single key")),
            },
            other => Err(other.instead_of(&"string or map")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        (self.trail.ignored)(&self.trail.path());
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char bytes byte_buf unit unit_struct tuple_struct identifier
    }
}

/// Items that are left over are one too many.
fn list<'de, V: Visitor<'de>>(
    rest: Nodes<'de>,
    trail: &Trail<'_>,
    visitor: V,
) -> Result<V::Value, Unread> {
    let mut list = List { rest, trail, index: 0 };
    let value = visitor.visit_seq(&mut list)?;
    match list.rest.next() {
        None => Ok(value),
        Some(_) => Err(Unread::invalid_length(list.index + 1, &"fewer elements in array")),
    }
}

struct List<'a, 't> {
    rest: Nodes<'a>,
    trail: &'t Trail<'t>,
    index: usize,
}

impl<'de> SeqAccess<'de> for &mut List<'de, '_> {
    type Error = Unread;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unread> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let trail = self.trail.then(Step::Index(self.index));
        self.index += 1;
        seed.deserialize(At { node, trail: &trail }).map(Some).map_err(|e| e.at(&trail))
    }
}

struct Map<'a, 't> {
    rest: Fields<'a>,
    trail: &'t Trail<'t>,
    next: Option<(&'a str, Node<'a>)>,
}

impl<'de> MapAccess<'de> for Map<'de, '_> {
    type Error = Unread;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unread> {
        self.next = self.rest.next();
        let Some((key, _)) = &self.next else { return Ok(None) };
        let trail = self.trail.then(Step::Key(key));
        seed.deserialize(StrDeserializer::new(key)).map(Some).map_err(|e: Unread| e.at(&trail))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Unread> {
        let next = self.next.take();
        let (key, node) = next.ok_or_else(|| Unread::custom("a value without a key"))?;
        let trail = self.trail.then(Step::Key(key));
        seed.deserialize(At { node, trail: &trail }).map_err(|e| e.at(&trail))
    }
}

struct Variant<'a, 't> {
    name: Cow<'a, str>,
    content: Option<Node<'a>>,
    trail: &'t Trail<'t>,
}

impl<'de, 't> EnumAccess<'de> for Variant<'de, 't> {
    type Error = Unread;
    type Variant = Content<'de, 't>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'de, 't>), Unread> {
        let variant = seed.deserialize(StrDeserializer::<Unread>::new(&self.name))?;
        Ok((variant, Content { node: self.content, trail: self.trail }))
    }
}

struct Content<'a, 't> {
    node: Option<Node<'a>>,
    trail: &'t Trail<'t>,
}

impl<'de, 't> Content<'de, 't> {
    fn needed(self) -> Result<At<'de, 't>, Unread> {
        let missing = || Unread::invalid_type(Unexpected::UnitVariant, &"a variant with content");
        Ok(At { node: self.node.ok_or_else(missing)?, trail: self.trail })
    }
}

impl<'de> VariantAccess<'de> for Content<'de, '_> {
    type Error = Unread;

    fn unit_variant(self) -> Result<(), Unread> {
        match self.node.map(Node::shape) {
            None | Some(Shape::Nothing) => Ok(()),
            Some(other) => Err(other.instead_of(&"unit variant")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Unread> {
        seed.deserialize(self.needed()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unread> {
        self.needed()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        self.needed()?.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        Plain,
        One(u8),
        Two(u8, String),
        Named { a: i64 },
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Whole {
        flag: bool,
        float: f64,
        none: Option<u32>,
        number: Option<NonZeroU32>,
        negative: i32,
        words: Vec<Word>,
        pair: (u8, char),
        map: BTreeMap<String, u16>,
        kept: Option<serde_json::Value>,
        hints: toml::Table,
    }

    const JSON: &str = r#"{"flag": true, "float": 1, "none": null, "number": 7, "negative": -3,
        "words": ["plain", {"plain": null}, {"one": 1}, {"two": [2, "x"]}, {"named": {"a": -1}}],
        "pair": [1, "c"], "map": {"x": 65535}, "kept": {"y": [null, 1.5]}}"#;

    #[test]
    fn what_serde_json_reads_is_read_the_same() {
        let ours: Whole = from_json(JSON.as_bytes()).unwrap();
        assert_eq!(ours, serde_json::from_str(JSON).unwrap());
        assert_eq!((ours.words.len(), ours.number.map(NonZeroU32::get)), (5, Some(7)));
    }

    #[test]
    fn what_the_toml_crate_reads_is_read_the_same() {
        let text = "flag = true\nfloat = 1.5\nnumber = 7\nnegative = -3\npair = [1, \"c\"]\n\
            words = [\"plain\", { one = 1 }, { two = [2, \"x\"] }, { named = { a = -1 } }]\n\
            [map]\nx = 65535\n[hints]\nday = 2026-11-29\nat = 2026-11-29T12:00:00Z\nn = [1, { f = inf }]\n";
        let table: toml::Table = text.parse().unwrap();
        let ours: Whole = from_toml(&table, &|path| panic!("{path}")).unwrap();
        assert_eq!(ours, toml::from_str(text).unwrap());
        assert!(ours.hints["day"].is_datetime());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_never_taken() {
        for (json, path) in [
            (r#"{"flag": 1}"#, "flag"),
            (r#"{"float": "1"}"#, "float"),
            (r#"{"number": 0}"#, "number"),
            (r#"{"number": -1}"#, "number"),
            (r#"{"negative": 2147483648}"#, "negative"),
            (r#"{"words": ["plain", "other"]}"#, "words.1"),
            (r#"{"words": ["one"]}"#, "words.0"),
            (r#"{"words": [{"one": 256}]}"#, "words.0"),
            (r#"{"words": [{"two": [1]}]}"#, "words.0"),
            (r#"{"words": [{"named": {"a": "x"}}]}"#, "words.0.a"),
            (r#"{"words": [{"plain": 1}]}"#, "words.0"),
            (r#"{"words": [{"one": 1, "two": 2}]}"#, "words.0"),
            (r#"{"words": {}}"#, "words"),
            (r#"{"pair": [1, "c", 2]}"#, "pair"),
            (r#"{"map": {"x": 65536}}"#, "map.x"),
            (r#"{"map": []}"#, "map"),
            ("[]", ""),
            ("{", ""),
        ] {
            let failure = from_json::<Whole>(json.as_bytes()).expect_err(json);
            assert_eq!(failure.path(), path, "{json}: {failure}");
            assert!(serde_json::from_str::<Whole>(json).is_err() || json == "[]", "{json}");
        }
    }

    #[test]
    fn what_nothing_asks_for_is_told_with_its_path() {
        #[derive(Deserialize)]
        struct Known {
            #[serde(rename = "list")]
            _list: Vec<Inner>,
        }
        #[derive(Deserialize)]
        struct Inner {
            #[serde(rename = "name")]
            _name: Option<String>,
        }
        let text = "other = { a = 1 }\n[[list]]\nname = \"x\"\n[[list]]\ncolour = 1\n";
        let told = RefCell::new(Vec::new());
        let table = text.parse().unwrap();
        from_toml::<Known>(&table, &|path| told.borrow_mut().push(path.to_owned())).unwrap();
        assert_eq!(told.take(), ["list.1.colour", "other"]);
    }
}
