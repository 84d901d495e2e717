//! Reading a request's JSON body: closed, bounded, and with errors that name the field.

use crate::{ApiError, Gate, query};
use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header,
    web::{self, Bytes},
};
use futures::future::LocalBoxFuture;
use lucid_schemas::FieldError;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::timeout;

/// A request is a few names; more is a mistake or an attack.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
const ECHO_CHARACTERS_MAX: usize = 80;

/// The body of a request; the request has no query.
pub struct Body<T>(pub T);

/// The same, still to be parsed: what it must look like depends on what it says.
pub(crate) struct RawBody(pub Bytes);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let raw = RawBody::from_request(request, payload);
        Box::pin(async move { parse(&raw.await?.0).map(Self) })
    }
}

impl FromRequest for RawBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let early = query::none(request).and_then(|()| check_head(request));
        let payload = web::Payload::from_request(request, payload);
        let gate = request.app_data::<web::Data<Gate>>().cloned();
        Box::pin(async move {
            early?;
            let payload = payload.await.map_err(|error| ApiError::Malformed(error.to_string()))?;
            let Some(gate) = gate else { return Err(ApiError::Broken("the port has no gate".into())) };
            let _place = gate.admit_body()?;
            let within = gate.body_within;
            let late = |_| ApiError::Slow { seconds: within.as_secs() };
            timeout(within, read(payload)).await.map_err(late)?.map(Self)
        })
    }
}

/// Turns a body away by its headers. A browser doesn't send this content type to another site unasked.
fn check_head(request: &HttpRequest) -> Result<(), ApiError> {
    if !request.content_type().eq_ignore_ascii_case("application/json") {
        return Err(ApiError::MediaType);
    }
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let length = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    Ok(())
}

async fn read(payload: web::Payload) -> Result<Bytes, ApiError> {
    match payload.to_bytes_limited(BODY_BYTES_MAX).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(ApiError::Malformed(format!("the body broke off: {error}"))),
        Err(_limit) => Err(too_large()),
    }
}

const fn too_large() -> ApiError {
    ApiError::TooLarge { limit_bytes: BODY_BYTES_MAX }
}

/// Reads the body: 400 where it isn't JSON, else the field that doesn't fit.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::Malformed("the body is empty: expected a JSON object".into()));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| ApiError::Malformed(format!("the body is no UTF-8: {error}")))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| ApiError::Malformed(error.to_string()))?;
    // An array of the fields' values in order would do for serde, but a typo in it can't be told.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(ApiError::field("(body)", "must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        ApiError::Invalid(vec![field_error(&path, &error.into_inner().to_string())])
    })
}

/// Names the field: serde's path for a wrong value, the name in its message for an unknown, missing or double field.
fn field_error(path: &str, said: &str) -> FieldError {
    let said = said.rsplit_once(" at line ").map_or(said, |(sentence, _)| sentence);
    let named = |prefix| said.strip_prefix(prefix)?.split('`').next().map(|field| shortened(&within(path, field)));
    if let Some(field) = named("unknown field `") {
        let known = said.rsplit_once("expected ").map_or("", |(_, known)| known);
        return FieldError::new(field, format!("is no field of this request; known: {}", known.replace('`', "")));
    }
    if let Some(field) = named("missing field `") {
        return FieldError::new(field, "is required");
    }
    if let Some(field) = named("duplicate field `") {
        return FieldError::new(field, "is given twice");
    }
    FieldError::new(path, misfit(said).unwrap_or_else(|| shortened(said)))
}

/// A value of the wrong kind, in words of JSON rather than of this program.
fn misfit(said: &str) -> Option<String> {
    let (_, expected) = said.split_once("expected ")?;
    let whole = |low: i128, high: i128| format!("must be a whole number from {low} to {high}");
    Some(match expected {
        "i8" => whole(i8::MIN.into(), i8::MAX.into()),
        "u8" => whole(0, u8::MAX.into()),
        "i16" => whole(i16::MIN.into(), i16::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "i32" => whole(i32::MIN.into(), i32::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "i64" => whole(i64::MIN.into(), i64::MAX.into()),
        "u64" | "usize" => whole(0, u64::MAX.into()),
        "f32" | "f64" => "must be a number".into(),
        "a string" => "must be a text".into(),
        "a boolean" => "must be true or false".into(),
        "a sequence" => "must be a list".into(),
        "a map" => "must be an object".into(),
        other if other.starts_with("struct ") => "must be an object".into(),
        _ => return None,
    })
}

/// The path of a field that serde names without the object that it is in.
fn within(path: &str, field: &str) -> String {
    match path.strip_suffix(field).map_or(path, |object| object.trim_end_matches('.')) {
        "" | "." | "?" => field.to_owned(),
        object => format!("{object}.{field}"),
    }
}

/// Text of the request, short enough to be repeated.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::http::BackupBody;

    fn refused(body: &str) -> ApiError {
        parse::<BackupBody>(body.as_bytes()).expect_err(body)
    }

    #[test]
    fn what_is_no_json_says_where() {
        for body in ["", " \n", "{", "{\"database\":}", "nonsense", "{} {}"] {
            assert!(matches!(refused(body), ApiError::Malformed(_)), "{body}");
        }
        assert!(refused("{\n \"database\": x}").to_string().contains("line 2"));
    }

    #[test]
    fn every_field_that_does_not_fit_is_named() {
        for (body, field) in [
            (r#"{"database":5}"#, "database"),
            (r#"{"database":"x","collections":["a",7]}"#, "collections[1]"),
            (r#"{"database":"x","collections":"a"}"#, "collections"),
            (r#"{"database":"x","compression":"yes"}"#, "compression"),
            (r#"{"database":"x","colections":[]}"#, "colections"),
            (r#"{"database":"x","database":"y"}"#, "database"),
            (r#"{"collections":[]}"#, "database"),
            (r#"["x"]"#, "(body)"),
            ("null", "(body)"),
        ] {
            let ApiError::Invalid(errors) = refused(body) else { panic!("{body} is refused otherwise") };
            assert_eq!(errors[0].field, field, "{body}: {errors:?}");
        }
    }

    #[test]
    fn no_error_speaks_of_the_types_of_this_program() {
        for (body, problem) in [
            (r#"{"database":5}"#, "must be a text"),
            (r#"{"database":"x","collections":"a"}"#, "must be a list"),
            (r#"{"database":"x","compression":"yes"}"#, "must be true or false"),
            (r#"{"database":"x","job":7}"#, "must be an object"),
            (r#"{"database":"x","job":{"priority":1e99}}"#, "must be a whole number from -2147483648 to 2147483647"),
            (
                r#"{"database":"x","job":{"max_attempts":99999999999}}"#,
                "must be a whole number from -2147483648 to 2147483647",
            ),
            (
                r#"{"database":"x","job":{"timeout_seconds":1.5}}"#,
                "must be a whole number from -9223372036854775808 to 9223372036854775807",
            ),
        ] {
            let ApiError::Invalid(errors) = refused(body) else { panic!("{body} is refused otherwise") };
            assert_eq!(errors[0].problem, problem, "{body}");
        }
    }

    #[test]
    fn an_unknown_name_of_any_length_is_repeated_only_in_part() {
        let body = format!(r#"{{"{}":1}}"#, "x".repeat(60_000));
        assert!(refused(&body).to_string().len() < 400);
    }
}
