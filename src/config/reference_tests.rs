//! The list of settings against what the code reads: a walk by serde's own hands.

use super::{SETTINGS, TABLES, place};
use crate::boot::{Bootloader, Loader};
use crate::config::Fragment;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;

/// Goes down one path and notes the fields of what stands there.
#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a [&'static str],
    found: &'a RefCell<Vec<&'static str>>,
}

fn stop<T>() -> Result<T, Error> {
    Err(serde::de::Error::custom("the end of the walk"))
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        stop()
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.path.is_empty() {
            self.found.borrow_mut().extend(fields);
            return stop();
        }
        visitor.visit_map(self)
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Walk<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        seed.deserialize(StrDeserializer::<Error>::new(self.path[0])).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Walk { path: &self.path[1..], found: self.found })
    }
}

impl<'de> SeqAccess<'de> for Walk<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        seed.deserialize(*self).map(Some)
    }
}

fn leaves(path: &mut Vec<&'static str>, out: &mut Vec<String>) {
    let found = RefCell::default();
    assert!(Fragment::deserialize(Walk { path, found: &found }).is_err());
    let fields = found.into_inner();
    if fields.is_empty() {
        out.push(path.join("."));
    }
    for field in fields {
        path.push(field);
        leaves(path, out);
        path.pop();
    }
}

#[test]
fn the_list_has_every_setting_that_is_read_and_no_other() {
    let mut read = Vec::new();
    leaves(&mut Vec::new(), &mut read);
    assert!(read.len() > 40, "{read:?}");
    let mut listed: Vec<String> = SETTINGS.iter().map(|s| s.key.to_owned()).collect();
    let (mut a, mut b) = (read.clone(), listed.clone());
    a.sort();
    b.sort();
    assert_eq!(a, b);
    // In the order of the tables, so that the page is made in one go.
    let order = |key: &String| {
        let table = place(key).0;
        TABLES.iter().position(|(t, _)| t.trim_matches(['[', ']']) == table)
    };
    assert!(listed.iter().all(|key| order(key).is_some()));
    let before = listed.clone();
    listed.sort_by_key(order);
    assert_eq!(before, listed);
}

#[test]
fn what_is_usual_is_what_counts_where_nothing_is_written() {
    let text = "[device]\nproduct = \"p\"\ncompatible = \"c\"\ndisk = \"d\"\n";
    let settings =
        crate::config::Settings::from_merged(toml::from_str(text).unwrap(), "/".as_ref()).unwrap();
    let usual = |key: &str| {
        let found = SETTINGS.iter().find(|s| s.key == key).unwrap_or_else(|| panic!("{key}"));
        found.usual.trim_matches('`').to_owned()
    };
    let seconds = |key: &str| crate::model::parse_duration(&usual(key)).unwrap();
    assert_eq!(settings.patience.stable, seconds("health.stable"));
    assert_eq!(settings.patience.deadline, seconds("health.deadline"));
    assert_eq!(settings.trial.deadline, seconds("trial.deadline").as_secs());
    assert_eq!(settings.trial.clean_reboots.to_string(), usual("trial.clean_reboots"));
    assert_eq!(settings.device.state.display().to_string(), usual("device.state"));
    assert_eq!(settings.trust_file.display().to_string(), usual("trust.file"));
    let Bootloader::Uboot { config, accept_single_copy } = settings.bootloader else {
        panic!("{:?}", settings.bootloader)
    };
    assert_eq!(Loader::default().name(), usual("boot.loader"));
    assert_eq!(config.display().to_string(), usual("boot.fw_env_config"));
    assert_eq!(settings.run.display().to_string(), usual("daemon.folder"));
    for (key, slot) in [("slots.a", crate::model::SlotId::A), ("slots.b", crate::model::SlotId::B)]
    {
        let [name] = settings.slots.of(slot) else { panic!("{:?}", settings.slots) };
        assert_eq!(format!("[\"{}\"]", name.partition), usual(key));
    }
    assert_eq!(settings.reboot, usual("update.reboot").parse().unwrap());
    for (key, value) in [
        ("device.hold", settings.device.hold),
        ("boot.accept_single_copy", accept_single_copy),
        ("update.confirm", settings.confirm),
        ("stick.enabled", settings.stick),
        ("stick.report", settings.stick_report),
        ("inhibit.systemd", settings.inhibit.systemd),
        ("inhibit.power", settings.inhibit.power),
        ("apps.keep_files", settings.apps.keep_files),
        ("apps.host_network", settings.apps.host_network),
        ("apps.privileged", settings.apps.privileged),
    ] {
        assert_eq!(value.to_string(), usual(key), "{key}");
    }
    assert_eq!(settings.inhibit.battery_min.to_string(), usual("inhibit.battery_min"));
    assert_eq!(settings.inhibit.wear.to_string(), usual("inhibit.wear"));
    assert_eq!(settings.apps.store_epoch.to_string(), usual("apps.store_epoch"));
    assert_eq!(settings.apps.reserved_memory.to_string(), usual("apps.reserved_memory"));
    let timeout = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    let hook = "name = \"x\"\nat = \"first-boot\"\ncommand = [\"/x\"]\n";
    let hook = crate::hooks::Hook::deserialize(timeout(hook)).unwrap();
    assert_eq!(hook.timeout, seconds("hook.timeout"));
    let check =
        crate::health::Check::deserialize(timeout("name = \"x\"\nfile = \"/x\"\n")).unwrap();
    assert_eq!(check.timeout, seconds("health.check.timeout"));
    assert_eq!(usual("health.check.need"), "required");
    assert_eq!(check.need, crate::health::Need::Required);
}
