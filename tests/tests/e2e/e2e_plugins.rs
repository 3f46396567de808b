//! Plugins end to end: upload, download, retiring, deleting, and what uploads cost others.

mod core_module;
mod life;
mod traffic;
mod upload;
