//! Whether an artifact carries what its document says.

use super::AppDocument;
use super::files::invalid;
use crate::model::{Digest, Identifier, Result};
use std::collections::{BTreeMap, BTreeSet};

impl AppDocument {
    /// Holds the document against the manifest that it came with: the app's name, and each payload's kind, SHA-256
    /// and length. Every image and layer that the document names is there once, and nothing else is.
    pub fn check_payloads<'a>(
        &self,
        app: &str,
        payloads: impl IntoIterator<Item = (Identifier, &'a Digest, u64)>,
    ) -> Result<()> {
        if app != self.app.as_str() {
            let own = &self.app;
            return invalid(format!("the manifest is of the app `{app}`, its document of `{own}`"));
        }
        let (mut images, mut layers) = (BTreeSet::new(), BTreeMap::new());
        let (mut documents, mut trees) = (0, Vec::new());
        for (kind, sha256, size) in payloads {
            let new = match kind.as_str() {
                "app" => {
                    documents += 1;
                    documents == 1
                }
                "image" => images.insert(*sha256),
                "layer" => layers.insert(*sha256, size).is_none(),
                "tree" => {
                    trees.push(size);
                    trees.len() == 1
                }
                _ => true,
            };
            if !new {
                return invalid(format!("a payload of kind `{kind}` is there twice: {sha256}"));
            }
        }
        if let Some(id) = self.images.keys().find(|id| !images.contains(id)) {
            return invalid(format!("no payload is the configuration of image {id}"));
        }
        if images.len() != self.images.len() {
            return invalid("a payload of kind `image` is of no image of the document");
        }
        let mut used = BTreeSet::new();
        for (id, image) in &self.images {
            let mut size = 0u64;
            for layer in &image.layers {
                let Some(len) = layers.get(layer) else {
                    return invalid(format!("no payload is layer {layer} of image {id}"));
                };
                used.insert(layer);
                size = size.saturating_add(*len);
            }
            if size != image.size {
                let said = image.size;
                return invalid(format!("the layers of image {id} have {size} bytes, not {said}"));
            }
        }
        if used.len() != layers.len() {
            return invalid("a payload of kind `layer` is of no image of the document");
        }
        let tree: u64 = self.files().iter().map(|file| file.size).sum();
        match (trees.first(), tree) {
            (None, 0) => Ok(()),
            (Some(size), tree) if *size == tree => Ok(()),
            (None, tree) => invalid(format!("no payload has the {tree} bytes of the files")),
            (Some(size), tree) => {
                invalid(format!("the payload `tree` has {size} bytes, its files {tree}"))
            }
        }
    }
}
