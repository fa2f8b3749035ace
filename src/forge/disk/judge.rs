//! Whether a root can start on the board: what the boot script will look for, and for which processor it is.

use super::recipe::Recipe;
use super::tree::Tree;
use crate::forge::file;
use crate::model::{Result, paths};
use crate::provision::{Environment, Measured, overlap};
use crate::rootfs::Root;
use std::io::Read;

/// A root of either kind.
pub(super) enum Seen<'a> {
    Tree(&'a Tree),
    Root(&'a Root),
}

impl Seen<'_> {
    fn exists(&self, path: &str) -> Result<bool> {
        match self {
            Seen::Tree(tree) => {
                Ok(tree.resolve(path).is_some_and(|path| tree.get(&path).is_some()))
            }
            Seen::Root(root) => root.exists(path),
        }
    }

    /// The first bytes of a file.
    fn head(&self, path: &str) -> Result<Option<Vec<u8>>> {
        const LEN: u64 = 64;
        match self {
            Seen::Root(root) => root.read_head(path, LEN),
            Seen::Tree(tree) => {
                let Some((_, host)) = tree.file(path) else { return Ok(None) };
                let mut bytes = Vec::new();
                let read = file::open(host)?.take(LEN).read_to_end(&mut bytes);
                read.map(|_| Some(bytes)).map_err(|e| file::failure(host, &e))
            }
        }
    }

    fn measure(&self, path: &str) -> Result<Option<Measured>> {
        let Some(head) = self.head(path)? else { return Ok(None) };
        let len = match self {
            Seen::Root(root) => root.about(path)?.map_or(0, |about| about.len),
            Seen::Tree(tree) => {
                let len = |host| std::fs::metadata(host).map(|found| found.len());
                tree.file(path)
                    .map_or(Ok(0), |(_, host)| len(host).map_err(|e| file::failure(host, &e)))?
            }
        };
        Ok(Some(Measured { len, head }))
    }
}

/// Refuses a root without a kernel, one that has no room between the load addresses, and one for another processor; the rest are
/// warnings.
pub(super) fn judge(seen: &Seen<'_>, env: &Environment, recipe: &Recipe) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let kernel = env.get("surefoot_kernel").unwrap_or_else(|| "/boot/Image".to_owned());
    if !seen.exists(&kernel)? {
        let why = format!(
            "there is no kernel in the root: {kernel} (`surefoot_kernel` in `boot.set` names another place)"
        );
        return Err(recipe.wrong("root.rootfs", why));
    }
    for name in ["surefoot_initrd", "surefoot_fdt"] {
        if let Some(path) = env.get(name)
            && !seen.exists(&path)?
        {
            let why = format!("`{name}` is {path}, and the root has no such file");
            return Err(recipe.wrong(&format!("boot.set.{name}"), why));
        }
    }
    if let Some(over) = overlap(&|name| env.get(name), &|path| seen.measure(path), "/boot")? {
        let set = format!("boot.set.{}", over.variable);
        let key = match recipe.values.boot.set.contains_key(over.variable) {
            true => set.as_str(),
            false => "boot.uboot-env",
        };
        let next = format!("Set `{}` in `boot.set` to {:#x} or more.", over.variable, over.least);
        return Err(recipe.wrong(key, over.text).with_next(next));
    }
    match seen.head("/sbin/init")? {
        None => warnings.push("the root has no /sbin/init".to_owned()),
        Some(head) => {
            if let (Some(found), Some((wanted, key))) = (machine(&head), board(env, recipe)?)
                && found != wanted
            {
                let why =
                    format!("/sbin/init of the root is for {found}, and the board is {wanted}");
                return Err(recipe.wrong(key, why));
            }
        }
    }
    if !seen.exists(paths::BIN)? {
        let text =
            format!("the root has no updater ({}): the device cannot be updated", paths::BIN);
        warnings.push(text);
    }
    Ok(warnings)
}

/// The processor that an ELF program is for (System V ABI, `e_machine` and the class).
fn machine(head: &[u8]) -> Option<&'static str> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let wide = *head.get(4)? == 2;
    let two: [u8; 2] = *head.get(18..20)?.first_chunk()?;
    let number = if *head.get(5)? == 2 { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) };
    Some(match (number, wide) {
        (183, _) => "aarch64",
        (40, _) => "arm",
        (62, _) => "x86_64",
        (3, _) => "x86",
        (243, true) => "riscv64",
        (243, false) => "riscv32",
        (8, _) => "mips",
        (21, _) => "powerpc64",
        (20, _) => "powerpc",
        _ => "an unknown processor",
    })
}

/// The board's processor and which key says it: the recipe, or U-Boot's own variables. 32-bit ARM and 64-bit
/// ARM are both `arch=arm` there.
fn board<'a>(env: &Environment, recipe: &Recipe) -> Result<Option<(&'a str, &'static str)>> {
    const KNOWN: [&str; 6] = ["aarch64", "arm", "x86_64", "x86", "riscv64", "riscv32"];
    if let Some(word) = recipe.values.root.arch.as_deref() {
        let word = if word == "arm64" { "aarch64" } else { word };
        return Ok(Some((recipe.word("root.arch", Some(word), &KNOWN)?, "root.arch")));
    }
    let (arch, cpu) = (env.get("arch"), env.get("cpu"));
    Ok(match (arch.as_deref(), cpu.as_deref()) {
        (Some("arm"), Some("armv8")) => Some(("aarch64", "boot.uboot-env")),
        (Some("arm"), Some(cpu)) if cpu.starts_with("arm") => Some(("arm", "boot.uboot-env")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_for_which_processor_it_is() {
        let elf = |class: u8, machine: u8| {
            let mut head = vec![0; 64];
            head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
            head[18] = machine;
            head
        };
        for (head, name) in [
            (elf(2, 183), Some("aarch64")),
            (elf(1, 40), Some("arm")),
            (elf(2, 62), Some("x86_64")),
            (elf(2, 243), Some("riscv64")),
            (b"#!/bin/sh".to_vec(), None),
            (b"\x7fELF".to_vec(), None),
        ] {
            assert_eq!(machine(&head), name);
        }
    }
}
