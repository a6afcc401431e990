//! The one call that the safe wrapper of the client library lacks for administration.
#![allow(unsafe_code, reason = "the safe wrapper never asks for the token of an administration client")]

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::{Client, OAuthToken};
use rdkafka::types::RDKafkaRespErr;

/// Room for the library's reason.
const REASON_BYTES: usize = 512;

/// Hands a token to a client whose callbacks are never served, so that it cannot ask for one.
pub(super) fn set_token<C: ClientContext>(client: &Client<C>, token: &OAuthToken) -> Result<(), String> {
    let zero = |_| "the token holds a zero byte".to_owned();
    let value = CString::new(token.token.as_str()).map_err(zero)?;
    let principal = CString::new(token.principal_name.as_str()).map_err(zero)?;
    let mut reason = [0_u8; REASON_BYTES];
    // SAFETY: the client is borrowed, so it is alive, and its library calls may come from any
    // thread. Both texts end with a zero and outlive the call, which copies them. There are no
    // extensions: a null pointer and a count of 0. `reason` has the room that is said.
    let code = unsafe {
        native::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            reason.as_mut_ptr().cast::<c_char>(),
            reason.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let said = CStr::from_bytes_until_nul(&reason).map(CStr::to_string_lossy);
    Err(said.map_or_else(|_| String::new(), |said| said.into_owned()))
}
