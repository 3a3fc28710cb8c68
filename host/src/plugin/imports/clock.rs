//! `clock`: what time it is.

use std::time::SystemTime;

use wasmtime::Result;

use crate::plugin::bindings::clock;
use crate::plugin::guest::Guest;
use crate::plugin::time;

impl clock::Host for Guest {
    fn now(&mut self) -> Result<u64> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&mut self) -> Result<u64> {
        Ok(u64::try_from(time::since_start().as_nanos()).unwrap_or(u64::MAX))
    }
}
