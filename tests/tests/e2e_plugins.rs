//! Plugins end to end: upload, download, retiring, deleting, and what uploads cost others.

mod e2e_plugins {
    mod core_module;
    mod life;
    mod traffic;
    mod upload;
}
