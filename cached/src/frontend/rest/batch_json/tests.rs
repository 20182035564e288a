//! Batches as JSON: what is read, what is refused, what is answered.

use cached_proto::failure::FailureCode;
use cached_proto::operation::Answer;
use cached_proto::types::Epoch;

use super::*;

fn parse(text: &str) -> Result<Operation, String> {
    let item: Item = serde_json::from_str(text).map_err(|error| error.to_string())?;
    item.operation(10).map_err(|error| error.to_string())
}

#[test]
fn operations_are_read() {
    let key = || Key::new("k").unwrap();
    let version = Version {
        epoch: Epoch(1),
        seq: 2,
    };
    let get = Operation::Get {
        key: key(),
        no_load: true,
        metadata_only: false,
    };
    assert_eq!(parse(r#"{"op":"get","key":"k","no_load":true}"#), Ok(get));
    let ttl = Some(Ttl::from_ms(5).unwrap());
    let set = |condition| {
        Ok(Operation::Set {
            key: key(),
            value: Bytes::from_static(b"v"),
            ttl,
            condition,
        })
    };
    let text = r#"{"op":"set","key":"k","value":"v","ttl_ms":5}"#;
    assert_eq!(parse(text), set(Condition::Always));
    let text =
        r#"{"op":"set","key_base64":"aw==","value_base64":"dg==","ttl_ms":5,"if_absent":true}"#;
    assert_eq!(parse(text), set(Condition::IfAbsent));
    let text = format!(r#"{{"op":"delete","key":"k","if_version":"{version}"}}"#);
    let condition = Condition::IfVersion(version);
    assert_eq!(
        parse(&text),
        Ok(Operation::Delete {
            key: key(),
            condition
        })
    );
    let touch = Operation::Touch {
        key: key(),
        ttl: None,
    };
    assert_eq!(parse(r#"{"op":"touch","key":"k"}"#), Ok(touch));
}

#[test]
fn mistakes_are_named() {
    let cases = [
        (r#"{"op":"get"}"#, "key is missing"),
        (r#"{"op":"get","key":""}"#, "key is empty"),
        (
            r#"{"op":"get","key":"a","key_base64":"YQ=="}"#,
            "key is given as text and",
        ),
        (r#"{"op":"get","key_base64":"%"}"#, "key is not base 64"),
        (
            r#"{"op":"get","key":"a","value":"b"}"#,
            "value means nothing",
        ),
        (
            r#"{"op":"get","key":"a","if_absent":true}"#,
            "condition means nothing",
        ),
        (r#"{"op":"set","key":"a"}"#, "value is missing"),
        (
            r#"{"op":"set","key":"a","value":"01234567890"}"#,
            "value has 11 bytes; the limit",
        ),
        (
            r#"{"op":"set","key":"a","value":"b","ttl_ms":0}"#,
            "ttl is 0",
        ),
        (
            r#"{"op":"set","key":"a","value":"b","if_version":"x"}"#,
            "if_version must be 32",
        ),
        (
            r#"{"op":"set","key":"a","value":"b","if_absent":true,"if_present":true}"#,
            "if_ver",
        ),
        (
            r#"{"op":"delete","key":"a","if_present":true}"#,
            "condition means nothing",
        ),
        (
            r#"{"op":"delete","key":"a","ttl_ms":1}"#,
            "ttl_ms means nothing",
        ),
        (
            r#"{"op":"frobnicate","key":"a"}"#,
            "unknown variant `frobnicate`",
        ),
        (r#"{"op":"get","key":"a","kye":1}"#, "unknown field `kye`"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_long_list_ends_early() {
    let list = |count| {
        let items = vec![r#"{"op":"get","key":"k"}"#; count].join(",");
        serde_json::from_str::<Batch>(&format!(r#"{{"operations":[{items}]}}"#))
    };
    assert_eq!(
        list(BATCH_OPERATIONS_MAX).unwrap().operations.len(),
        BATCH_OPERATIONS_MAX
    );
    let error = list(BATCH_OPERATIONS_MAX + 1).unwrap_err().to_string();
    assert!(error.contains("at most 1024 operations"), "{error}");
}

#[test]
fn results_are_text_where_they_can_be() {
    let version = Version {
        epoch: Epoch(1),
        seq: 2,
    };
    let entry = |value: &'static [u8]| Entry {
        value: Bytes::from_static(value),
        version: Some(version),
        ttl_ms: Some(7),
        value_bytes: value.len() as u64,
        loaded: true,
        uncached: false,
    };
    let got = |value, encoding| {
        let reply = Reply::Get(Some(entry(value)));
        let outcome = Ok(Answer {
            reply,
            degraded: true,
        });
        result(&Key::new("k").unwrap(), &outcome, encoding)
    };
    let expected = json!({
        "key": "k", "found": true, "value": "v", "version": version.to_string(),
        "ttl_ms": 7, "loaded": true, "degraded": true,
    });
    assert_eq!(got(b"v", Encoding::Text), expected);
    assert_eq!(got(b"\xff", Encoding::Text)["value_base64"], "/w==");
    assert_eq!(got(b"v", Encoding::Base64)["value_base64"], "dg==");
    assert_eq!(got(b"v", Encoding::Base64)["key_base64"], "aw==");
}

#[test]
fn failures_keep_their_words() {
    let failure = Failure::new(FailureCode::Busy, "too much").maybe_applied();
    let shown = result(&Key::new("k").unwrap(), &Err(failure), Encoding::Text);
    let error = json!({"code": "busy", "detail": "too much", "applied": "unknown"});
    assert_eq!(shown, json!({"key": "k", "error": error}));
}
