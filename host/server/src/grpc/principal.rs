//! Principals: on whose behalf a request is made.
//!
//! Without authentication the host listens on loopback only and takes the principal's word for it.

use http::HeaderMap;
use tonic::Request;
use windlass_core::arguments::check_text;
use windlass_core::problem::Problems;
use windlass_proto::PRINCIPAL_METADATA;

use crate::engine::EngineError;

/// Who asks where nobody is named: the person at this machine.
const PRINCIPAL_DEFAULT: &str = "local";

/// The principal of a request, and what it asks.
pub(super) fn asked<T>(request: Request<T>) -> Result<(String, T), EngineError> {
    let principal = of_headers(request.metadata().as_ref())?;
    Ok((principal, request.into_inner()))
}

pub(super) fn of_headers(headers: &HeaderMap) -> Result<String, EngineError> {
    let path = format!("metadata.{PRINCIPAL_METADATA}");
    let Some(value) = headers.get(PRINCIPAL_METADATA) else {
        return Ok(PRINCIPAL_DEFAULT.to_owned());
    };
    let Ok(name) = value.to_str() else {
        return Err(EngineError::invalid(path, "is not ASCII text: give a plain name"));
    };
    let mut problems = Problems::default();
    check_text(&mut problems, &path, name);
    Ok(problems.or(name.to_owned())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Option<&[u8]>) -> Result<String, EngineError> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(PRINCIPAL_METADATA, http::HeaderValue::from_bytes(value).unwrap());
        }
        of_headers(&headers)
    }

    #[test]
    fn a_principal_is_a_bounded_line_of_ascii_and_local_where_none_is_named() {
        assert_eq!(of(None).unwrap(), "local");
        assert_eq!(of(Some(b"ann")).unwrap(), "ann");
        for bad in [b"".as_slice(), "ä".as_bytes(), &[b'a'; 257]] {
            assert!(matches!(of(Some(bad)), Err(EngineError::Invalid(_))));
        }
    }
}
