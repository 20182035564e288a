//! An origin that reads files of one directory: key = file name.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cached_proto::types::{GroupName, Invalid, Key};
use tokio::sync::Semaphore;

use super::{FLAG, LoadError, LoadFuture, Loaded, Origin};

/// Reads at a time. More than a disk has use for, and no more of the runtime's 512
/// blocking threads than others can spare while a file system hangs.
const READS_MAX: usize = 128;

/// Files directly inside one directory. Links are followed as long as they stay
/// inside. Whoever may change the directory while it is read is trusted.
#[derive(Debug)]
pub struct Dir {
    /// Without links, so that "inside" can be told by comparing paths.
    root: PathBuf,
    value_bytes_max: usize,
    reads: Arc<Semaphore>,
}

impl Dir {
    /// Checks that the directory is there.
    pub fn new(path: &str, value_bytes_max: usize) -> Result<Self, Invalid> {
        let refuse = |problem: String| {
            Invalid::new(
                FLAG,
                format!("dir:{path} {problem}; for example: dir:/srv/values"),
            )
        };
        let root = std::fs::canonicalize(path)
            .map_err(|error| refuse(format!("cannot be opened: {}", error.kind())))?;
        if !root.is_dir() {
            return Err(refuse("is not a directory".into()));
        }
        Ok(Self {
            root,
            value_bytes_max,
            reads: Arc::new(Semaphore::new(READS_MAX)),
        })
    }

    /// Reads the file of a key; `None`: there is none, or none that may be read.
    async fn read(&self, key: &Key) -> std::io::Result<Option<Vec<u8>>> {
        let Some(name) = file_name(key.as_bytes()) else {
            return Ok(None);
        };
        let (root, path) = (self.root.clone(), self.root.join(name));
        let limit = self.value_bytes_max as u64 + 1;
        self.blocking(move || read_inside(&root, &path, limit))
            .await
    }

    /// Does blocking work beside the runtime. The place is given back when the work
    /// ends, not when the caller leaves: a file system that hangs costs at most
    /// [`READS_MAX`] threads, and whoever comes then waits until its own time is over.
    #[expect(
        clippy::disallowed_methods,
        reason = "what a file system holds up cannot be stopped, so no shutdown may wait for it"
    )]
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let place = Arc::clone(&self.reads).acquire_owned().await;
        let place = place.map_err(std::io::Error::other)?;
        let work = move || {
            let _place = place;
            work()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(std::io::Error::other)?
    }
}

/// Reads a file of at most `limit` bytes, cut there, if it lies inside `root`.
fn read_inside(root: &Path, path: &Path, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let path = std::fs::canonicalize(path)?;
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !path.starts_with(root) || !std::fs::metadata(&path)?.is_file() {
        return Ok(None);
    }
    let mut value = Vec::new();
    std::fs::File::open(&path)?
        .take(limit)
        .read_to_end(&mut value)?;
    // It may be kept for long: without the room that growing left over.
    value.shrink_to_fit();
    Ok(Some(value))
}

/// The file name of a key; `None` for keys that name no file directly inside the
/// directory.
fn file_name(key: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(key).ok()?;
    let lawful = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', '\0']);
    lawful.then_some(name)
}

impl Origin for Dir {
    fn load<'a>(&'a self, _group: &'a GroupName, key: &'a Key) -> LoadFuture<'a> {
        Box::pin(async move {
            match self.read(key).await {
                Ok(Some(value)) if value.len() > self.value_bytes_max => {
                    let limit = self.value_bytes_max;
                    Err(LoadError(format!(
                        "the file has more than {limit} bytes, the limit of values"
                    )))
                }
                Ok(Some(value)) => Ok(Loaded::Value {
                    value: Bytes::from(value),
                    ttl: None,
                    no_store: false,
                }),
                Ok(None) => Ok(Loaded::NotThere),
                Err(error) => match error.kind() {
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
                        Ok(Loaded::NotThere)
                    }
                    kind => Err(LoadError(format!("the file cannot be read: {kind}"))),
                },
            }
        })
    }

    fn describe(&self) -> String {
        format!("dir:{}", self.root.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn load(dir: &Dir, key: &[u8]) -> Result<Loaded, LoadError> {
        let group = GroupName::new("g").unwrap();
        dir.load(&group, &Key::new(key.to_vec()).unwrap()).await
    }

    fn value(bytes: &'static [u8]) -> Result<Loaded, LoadError> {
        Ok(Loaded::Value {
            value: Bytes::from_static(bytes),
            ttl: None,
            no_store: false,
        })
    }

    #[tokio::test]
    async fn files_inside_are_values_and_nothing_escapes() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("a b"), "inside").unwrap();
        std::fs::write(root.join("empty"), "").unwrap();
        std::fs::write(root.join("sub/x"), "deeper").unwrap();
        std::fs::write(outer.path().join("secret"), "outside").unwrap();
        std::fs::create_dir(outer.path().join("root2")).unwrap();
        std::fs::write(outer.path().join("root2/x"), "outside").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        link("a b", "link-inside");
        link("../secret", "link-outside");
        link("../root2/x", "link-to-sibling");
        link("link-loop", "link-loop");
        let dir = Dir::new(root.to_str().unwrap(), 100).unwrap();

        assert_eq!(load(&dir, b"a b").await, value(b"inside"));
        assert_eq!(load(&dir, b"empty").await, value(b""));
        assert_eq!(load(&dir, b"link-inside").await, value(b"inside"));
        for key in [
            b"missing".as_slice(),
            b".",
            b"..",
            b"../secret",
            b"sub/x",
            b"sub",
            b"sub\\x",
            b"/etc/passwd",
            b"a b\0",
            b"a b/",
            b"\xff\xfe",
            b"link-outside",
            b"link-to-sibling",
            &[b'x'; 5000],
        ] {
            assert_eq!(
                load(&dir, key).await,
                Ok(Loaded::NotThere),
                "{}",
                key.escape_ascii()
            );
        }
        let error = load(&dir, b"link-loop").await.unwrap_err();
        assert!(
            !error.to_string().contains('/'),
            "no path reaches callers: {error}"
        );
    }

    #[tokio::test]
    async fn files_over_the_limit_of_values_are_errors() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("fits"), [7; 10]).unwrap();
        std::fs::write(root.path().join("large"), [7; 11]).unwrap();
        let dir = Dir::new(root.path().to_str().unwrap(), 10).unwrap();
        assert!(matches!(
            load(&dir, b"fits").await,
            Ok(Loaded::Value { .. })
        ));
        let error = load(&dir, b"large").await.unwrap_err();
        assert_eq!(
            error.0,
            "the file has more than 10 bytes, the limit of values"
        );
    }

    #[tokio::test]
    async fn a_read_that_hangs_keeps_its_place_until_it_ends() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::new(root.path().to_str().unwrap(), 10).unwrap();
        let (release, hung) = std::sync::mpsc::channel::<()>();
        let mut read = Box::pin(dir.blocking(move || Ok(hung.recv())));
        assert!(futures_util::poll!(&mut read).is_pending());
        drop(read);
        assert_eq!(dir.reads.available_permits(), READS_MAX - 1);
        release.send(()).unwrap();
        let all = dir.reads.acquire_many(READS_MAX as u32).await;
        assert!(all.is_ok(), "it ended and gave its place back");
    }

    #[test]
    fn a_directory_must_be_there() {
        let error = Dir::new("/nowhere/at/all", 10).unwrap_err();
        assert_eq!(error.field, "--origin");
        assert!(error.problem.contains("cannot be opened"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Dir::new(file.path().to_str().unwrap(), 10).unwrap_err();
        assert!(error.problem.contains("is not a directory"), "{error}");
    }
}
