//! Apps: containers and others beside the system.

mod compose;
mod compose_hostile;
mod compose_images;
pub(crate) mod images;
mod joint;
mod kinds;
mod life;
