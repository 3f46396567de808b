//! Benches: a store under test, what it takes to open it again, what may go wrong with it, and what it leaves.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_host::store::Store;

use crate::faulty::Faults;
use crate::guarded::GuardedStore;

/// A store that is being opened.
pub type Opening = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>>;
type Open = Box<dyn Fn() -> Opening + Send + Sync>;
type Cleanup = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A store under test. Copies are the same bench.
#[derive(Clone)]
pub struct Bench {
    place: Arc<Place>,
    faults: Option<Arc<Faults>>,
}

struct Place {
    store: Mutex<Option<Arc<dyn Store>>>,
    reopen: Option<Open>,
    cleanup: Mutex<Option<Cleanup>>,
}

impl Bench {
    /// A store that stays open.
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self::at(store, None)
    }

    /// A store that is closed and opened again at every step.
    pub async fn reopening(open: impl Fn() -> Opening + Send + Sync + 'static) -> Self {
        let store = open().await;
        Self::at(store, Some(Box::new(open)))
    }

    fn at(store: Arc<dyn Store>, reopen: Option<Open>) -> Self {
        let place = Place { store: Mutex::new(Some(store)), reopen, cleanup: Mutex::default() };
        Self { place: Arc::new(place), faults: None }
    }

    /// What removes the remains of the store once it is closed, such as a database on a server. After a failed test
    /// they stay, to be looked at.
    pub fn cleaned_by<F: Future<Output = ()> + Send + 'static>(
        self,
        cleanup: impl FnOnce() -> F + Send + 'static,
    ) -> Self {
        *lock(&self.place.cleanup) = Some(Box::new(|| Box::pin(cleanup())));
        self
    }

    /// Asks the store through these faults from now on.
    pub fn faulty(self, faults: impl Into<Arc<Faults>>) -> Self {
        Self { faults: Some(faults.into()), ..self }
    }

    /// What may go wrong with the store, where that is said.
    pub fn faults(&self) -> Option<&Arc<Faults>> {
        self.faults.as_ref()
    }

    pub fn store(&self) -> Arc<dyn Store> {
        let store = Arc::clone(lock(&self.place.store).as_ref().expect("the store is open between steps"));
        match &self.faults {
            Some(faults) => Arc::new(GuardedStore::new(store, Arc::clone(faults) as _)),
            None => store,
        }
    }

    /// A point where a crash or a restart must make no difference.
    pub async fn step(&self) {
        let Some(open) = &self.place.reopen else { return };
        drop(lock(&self.place.store).take());
        let store = open().await;
        *lock(&self.place.store) = Some(store);
    }

    /// Closes the store and removes what it leaves.
    pub async fn finish(self) {
        drop(lock(&self.place.store).take());
        let cleanup = lock(&self.place.cleanup).take();
        if let Some(cleanup) = cleanup {
            cleanup().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
