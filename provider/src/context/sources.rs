//! What was read of the user's folders, for one piece of work: a plan of a resource, or its apply.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
pub struct Sources(Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>);

impl Sources {
    /// What is in a folder; read if it was not read before.
    pub fn get<T: Send + Sync + 'static, E>(
        &self,
        folder: &str,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut read_before = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = read_before.get(folder).and_then(|found| found.clone().downcast().ok()) {
            return Ok(found);
        }
        let found = Arc::new(read()?);
        read_before.insert(folder.to_owned(), found.clone());
        Ok(found)
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources(..)")
    }
}
