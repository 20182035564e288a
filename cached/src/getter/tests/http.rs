//! The HTTP origin against a small real server on a port of the system's choice.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, header, response};
use axum::routing::get;
use bytes::Bytes;
use cached_proto::types::{GroupName, Key, Ttl};
use futures_util::stream;

use super::fixture::group;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::getter::http::Http;
use crate::getter::{
    GetError, Getter, GetterConfig, GetterParts, LoadError, Loaded, Origin, Wanted, origin,
};
use crate::store::{GroupSettings, Store, StoreConfig};
use crate::tasks::Tasks;

/// Bytes that a value may have here.
const LIMIT: usize = 1000;

fn respond(status: u16) -> response::Builder {
    Response::builder().status(status)
}

/// What the server does, by key.
async fn answer(Path(key): Path<String>) -> Response<Body> {
    let cache_control = |value: &str| respond(200).header(header::CACHE_CONTROL, value);
    let to = |place: &str| {
        respond(302)
            .header(header::LOCATION, place)
            .body(Body::empty())
    };
    let endless = || stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[7; 64])));
    match key.as_str() {
        "plain" | "a/b ?#%" => respond(200).body(Body::from(key)),
        "minute" => cache_control("public, max-age=60").body(Body::from("m")),
        "secret" => cache_control("private").body(Body::from("s")),
        "empty" => respond(200).body(Body::empty()),
        "gone" => respond(410).body(Body::empty()),
        "broken" => respond(503).body(Body::from("sorry")),
        "accepted" => respond(202).body(Body::empty()),
        "exact" => respond(200).body(Body::from(vec![7; LIMIT])),
        "large" => respond(200).body(Body::from(vec![7; LIMIT + 1])),
        "endless" => respond(200).body(Body::from_stream(endless())),
        "redirect" => to("plain"),
        "loop" => to("loop"),
        "elsewhere" => to("http://localhost:1/values/plain"),
        "hang" => std::future::pending().await,
        _ => respond(404).body(Body::empty()),
    }
    .unwrap_or_else(|_| Response::new(Body::empty()))
}

/// Serves until the test's runtime ends; answers the base URL.
async fn serve(tasks: &Tasks) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/values/{key}", get(answer));
    tasks.spawn(
        "origin",
        |_| async move { axum::serve(listener, router).await },
    );
    format!("http://{address}")
}

async fn load(http: &Http, key: &str) -> Result<Loaded, LoadError> {
    http.load(&group(), &Key::new(key.to_owned()).unwrap())
        .await
}

fn value(text: &str, ttl: Option<u64>, no_store: bool) -> Result<Loaded, LoadError> {
    let value = Bytes::copy_from_slice(text.as_bytes());
    let ttl = ttl.map(|ms| Ttl::from_ms(ms).unwrap());
    Ok(Loaded::Value {
        value,
        ttl,
        no_store,
    })
}

#[tokio::test]
async fn answers_become_values_absences_and_errors() {
    let tasks = Tasks::new();
    let base = serve(&tasks).await;
    let http = Http::new(&format!("{base}/values/{{key}}"), LIMIT).unwrap();
    assert_eq!(load(&http, "plain").await, value("plain", None, false));
    assert_eq!(load(&http, "a/b ?#%").await, value("a/b ?#%", None, false));
    assert_eq!(load(&http, "minute").await, value("m", Some(60_000), false));
    assert_eq!(load(&http, "secret").await, value("s", None, true));
    assert_eq!(load(&http, "empty").await, value("", None, false));
    assert_eq!(load(&http, "redirect").await, value("plain", None, false));
    for key in ["missing", "gone", ".", ".."] {
        assert_eq!(load(&http, key).await, Ok(Loaded::NotThere), "{key}");
    }
    for (key, words) in [
        ("broken", "answered 503 Service Unavailable"),
        ("accepted", "answered 202 Accepted"),
        ("loop", "too many redirects"),
        ("elsewhere", "a redirect to another host"),
    ] {
        let error = load(&http, key).await.unwrap_err();
        assert!(error.0.contains(words), "{key}: {error}");
    }
}

#[tokio::test]
async fn bodies_are_read_up_to_the_limit_of_values() {
    let tasks = Tasks::new();
    let base = serve(&tasks).await;
    let http = Http::new(&format!("{base}/values/{{key}}"), LIMIT).unwrap();
    assert!(
        matches!(load(&http, "exact").await, Ok(Loaded::Value { value, .. }) if value.len() == LIMIT)
    );
    for key in ["large", "endless"] {
        let error = load(&http, key).await.unwrap_err();
        assert_eq!(
            error.0, "answered more than 1000 bytes, the limit of values",
            "{key}"
        );
    }
}

#[tokio::test]
async fn errors_name_no_secret() {
    // Bound, so that nobody else gets the port, and never listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let template = format!("http://user:hunter2@{address}/{{key}}?token=hunter3");
    let http = Http::new(&template, LIMIT).unwrap();
    let error = load(&http, "k").await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
    for shown in [error, http.describe(), format!("{http:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
    assert_eq!(
        http.describe(),
        format!("http://{address}/{{key}}?(hidden)")
    );
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_timeout() {
    let tasks = Tasks::new();
    let base = serve(&tasks).await;
    let store = Arc::new(Store::new(StoreConfig {
        shards: 1,
        memory_bytes: 1 << 20,
    }));
    let group_id = store.set_group(&group(), GroupSettings::default());
    let slot = super::fixture::slot();
    store.open_slot(slot, cached_proto::types::Epoch(1));
    let mut config = GetterConfig::new(group(), LIMIT);
    config.timeout = Duration::from_millis(100);
    let getter = Getter::new(GetterParts {
        origin: origin(Some(&format!("{base}/values/{{key}}")), LIMIT).unwrap(),
        config,
        store,
        clock: Clock::system(),
        tasks: tasks.clone(),
        counters: Arc::new(Counters::default()),
    });
    let wanted = |key: &str| Wanted {
        slot,
        group: GroupName::new("g").unwrap(),
        group_id,
        default_ttl: None,
        key: Key::new(key.to_owned()).unwrap(),
        metadata_only: false,
    };
    let Err(GetError::Failed(failure)) = getter.get(&wanted("hang")).await else {
        panic!("a failure")
    };
    assert_eq!(failure.message, "origin: no answer within 100ms");
    assert_eq!(getter.get(&wanted("missing")).await, Ok(None));
}

#[tokio::test]
async fn the_flag_chooses_the_origin() {
    assert!(origin(None, LIMIT).unwrap().describe().contains("demo"));
    let http = origin(Some("https://h/{key}"), LIMIT).unwrap();
    assert_eq!(http.describe(), "https://h/{key}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let spec = format!("dir:{}", path.display());
    assert_eq!(origin(Some(&spec), LIMIT).unwrap().describe(), spec);
    for bad in ["nonsense", "dir:/nowhere/at/all", "http://h/"] {
        assert_eq!(
            origin(Some(bad), LIMIT).unwrap_err().field,
            "--origin",
            "{bad}"
        );
    }
}
