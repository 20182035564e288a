//! Who may do what: bearer tokens with roles, from a file that can be read again.

mod pass;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use cached_proto::failure::{Failure, FailureCode};
use subtle::ConstantTimeEq;

pub use pass::Pass;

/// Shortest token in characters: 16 random ones of a base-64 alphabet are 96 bits,
/// beyond guessing.
const TOKEN_CHARS_MIN: usize = 16;

/// Largest token file in bytes: thousands of tokens, and still checked in microseconds.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What a token allows; each role allows what the ones before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads keys, statistics and topology.
    Read,
    /// Writes and deletes keys.
    Write,
    /// Changes the cluster; is a peer.
    Admin,
}

impl Role {
    /// The word that token files and messages use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Whether this role is enough.
    fn allows(self, needed: Self) -> Result<(), Failure> {
        if self >= needed {
            return Ok(());
        }
        let (has, needed) = (self.as_str(), needed.as_str());
        let message = format!("the token has role {has}; this needs {needed}");
        Err(Failure::new(FailureCode::PermissionDenied, message))
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

/// Why a token file was not taken. Never holds a token.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file cannot be read.
    #[error("token file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Everybody on the machine could read the tokens.
    #[error("token file {path} is readable by everybody; run: chmod 600 {path}")]
    WorldReadable {
        /// The file.
        path: PathBuf,
    },
    /// The file does not hold what it should.
    #[error("token file {path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        problem: String,
    },
}

struct Token {
    role: Role,
    secret: Box<str>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({})", self.role.as_str())
    }
}

/// The tokens in force. Without any, everybody may do everything: such a process
/// listens on loopback, or was told that this is wanted.
#[derive(Debug)]
pub struct Auth {
    path: Option<PathBuf>,
    tokens: ArcSwap<Vec<Token>>,
    /// Counts how often the file was read again.
    generation: AtomicU64,
}

impl Auth {
    /// Everybody may do everything.
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            path: None,
            tokens: ArcSwap::from_pointee(Vec::new()),
            generation: AtomicU64::new(0),
        })
    }

    /// The first token of role admin: nodes of one cluster share a file, and show it
    /// to each other.
    pub fn admin_token(&self) -> Option<String> {
        let tokens = self.tokens.load();
        let admin = tokens.iter().find(|token| token.role == Role::Admin)?;
        Some(admin.secret.to_string())
    }

    /// Reads a token file: lines of `role token`, `#` starts a comment line.
    pub fn load(path: &Path) -> Result<Arc<Self>, AuthError> {
        let tokens = read(path)?;
        Ok(Arc::new(Self {
            path: Some(path.into()),
            tokens: ArcSwap::from_pointee(tokens),
            generation: AtomicU64::new(0),
        }))
    }

    /// Reads the file again; answers how many tokens are in force. After an error
    /// the tokens stay as they were.
    pub fn reload(&self) -> Result<usize, AuthError> {
        if let Some(path) = &self.path {
            self.tokens.store(Arc::new(read(path)?));
            // After the tokens: who sees the new number must find the new tokens.
            self.generation.fetch_add(1, Ordering::Release);
        }
        Ok(self.tokens.load().len())
    }

    /// Whether a token is needed at all.
    pub fn is_required(&self) -> bool {
        self.path.is_some()
    }

    /// Checks a request's `authorization` value against the role that it needs;
    /// answers the caller's role.
    pub fn check(&self, authorization: Option<&str>, needed: Role) -> Result<Role, Failure> {
        if !self.is_required() {
            return Ok(Role::Admin);
        }
        let Some(authorization) = authorization else {
            return Err(unauthenticated("no token was sent", needed));
        };
        let Some(token) = bearer(authorization) else {
            return Err(unauthenticated(
                "the authorization is not of the form Bearer",
                needed,
            ));
        };
        self.check_token(token.as_bytes(), needed)
    }

    /// Checks the `authorization` header of an HTTP request.
    pub fn check_headers(&self, headers: &HeaderMap, needed: Role) -> Result<Role, Failure> {
        // Asked first, because looking a header up costs more than everything else here.
        if !self.is_required() {
            return Ok(Role::Admin);
        }
        let value = headers
            .get(AUTHORIZATION)
            .map(|value| value.to_str().unwrap_or_default());
        self.check(value, needed)
    }

    /// Checks a bare token against the role that a request needs.
    pub fn check_token(&self, token: &[u8], needed: Role) -> Result<Role, Failure> {
        if !self.is_required() {
            return Ok(Role::Admin);
        }
        match self.role_of(token) {
            None => Err(unauthenticated("the token is not known here", needed)),
            Some(role) => role.allows(needed).map(|()| role),
        }
    }

    /// Compares with every token, each in constant time, so that the time taken
    /// tells nothing of how much of a guess was right.
    fn role_of(&self, token: &[u8]) -> Option<Role> {
        let mut role = None;
        for known in self.tokens.load().iter() {
            if bool::from(known.secret.as_bytes().ct_eq(token)) {
                role = role.max(Some(known.role));
            }
        }
        role
    }
}

fn unauthenticated(problem: &str, needed: Role) -> Failure {
    let message = format!(
        "{problem}; send `Authorization: Bearer TOKEN` with a token of role {} or higher",
        needed.as_str()
    );
    Failure::new(FailureCode::Unauthenticated, message)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn read(path: &Path) -> Result<Vec<Token>, AuthError> {
    let unreadable = |source| AuthError::Unreadable {
        path: path.into(),
        source,
    };
    let malformed = |problem| AuthError::Malformed {
        path: path.into(),
        problem,
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if is_world_readable(&metadata) {
        return Err(AuthError::WorldReadable { path: path.into() });
    }
    if metadata.len() > FILE_BYTES_MAX {
        let problem = format!(
            "has {} bytes; the limit is {FILE_BYTES_MAX}",
            metadata.len()
        );
        return Err(malformed(problem));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(malformed)
}

#[cfg(unix)]
fn is_world_readable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_: &std::fs::Metadata) -> bool {
    false
}

fn parse(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        tokens.push(parse_line(line).map_err(|problem| format!("line {}: {problem}", index + 1))?);
    }
    if tokens.is_empty() {
        return Err("holds no token; write lines of `read|write|admin TOKEN`".to_owned());
    }
    Ok(tokens)
}

fn parse_line(line: &str) -> Result<Token, String> {
    let mut words = line.split_whitespace();
    let (Some(role), Some(token), None) = (words.next(), words.next(), words.next()) else {
        return Err("must be `read|write|admin TOKEN`".to_owned());
    };
    // The word is not shown: with the two swapped it would be a token.
    let role = Role::parse(role).ok_or("the first word must be read, write or admin")?;
    if token.len() < TOKEN_CHARS_MIN {
        return Err(format!(
            "the token has {} characters; it needs at least {TOKEN_CHARS_MIN}",
            token.len()
        ));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token may only hold printable ASCII characters".to_owned());
    }
    Ok(Token {
        role,
        secret: token.into(),
    })
}
