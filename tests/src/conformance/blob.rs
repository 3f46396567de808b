//! Blobs: whole or not at all, and out of the way of commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use windlass_core::id::Digest;

use super::Bench;
use super::fixture::submit;

/// Bytes that differ from chunk to chunk.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index / 251 + index % 251) as u8).collect()
}

pub(super) async fn a_blob_comes_back_whole_or_not_at_all(bench: Bench) {
    for len in [0, 1, 262_143, 262_144, 262_145, 1_500_000] {
        let bytes = bytes(len);
        let digest = Digest::of(&bytes);
        assert_eq!(bench.store().blob(digest).await.expect("readable"), None);
        bench.store().put_blob(digest, bytes.clone()).await.expect("stored");
        // Once more: harmless.
        bench.store().put_blob(digest, bytes.clone()).await.expect("stored");
        bench.step().await;
        let found = bench.store().blob(digest).await.expect("readable");
        assert!(found.as_ref() == Some(&bytes), "a blob of {len} bytes");
    }
    let refused = bench.store().put_blob(Digest::of(b"other"), b"these".to_vec()).await;
    assert!(refused.is_err(), "bytes of another digest");
    assert_eq!(bench.store().blob(Digest::of(b"other")).await.expect("readable"), None);
}

pub(super) async fn a_blob_is_removed_and_can_be_put_again(bench: Bench) {
    let bytes = bytes(6_000_000);
    let digest = Digest::of(&bytes);
    bench.store().remove_blob(digest).await.expect("there is none");
    bench.store().put_blob(digest, bytes.clone()).await.expect("stored");
    bench.step().await;
    bench.store().remove_blob(digest).await.expect("removed");
    bench.step().await;
    assert_eq!(bench.store().blob(digest).await.expect("readable"), None);
    bench.store().put_blob(digest, bytes.clone()).await.expect("stored again");
    assert!(bench.store().blob(digest).await.expect("readable") == Some(bytes));
}

pub(super) async fn an_upload_does_not_hold_up_commits(bench: Bench) {
    let store = bench.store();
    let bytes = bytes(18_000_000);
    let digest = Digest::of(&bytes);
    let is_done = Arc::new(AtomicBool::new(false));
    let upload = tokio::spawn({
        let (store, is_done) = (Arc::clone(&store), Arc::clone(&is_done));
        async move {
            store.put_blob(digest, bytes).await.expect("stored");
            is_done.store(true, Ordering::SeqCst);
        }
    });
    let mut committed_meanwhile = 0;
    let mut n = 0;
    while !is_done.load(Ordering::SeqCst) {
        submit(store.as_ref(), n).await;
        n += 1;
        committed_meanwhile += u64::from(!is_done.load(Ordering::SeqCst));
    }
    upload.await.expect("no panic");
    // Some seventy chunks, and a commit fits between any two of them.
    assert!(committed_meanwhile > 20, "only {committed_meanwhile} commits during the upload");
}
