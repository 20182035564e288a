//! Roles, files, and who is told what of them.

use std::io::Write;

use super::*;

const FILE: &str =
    "# roles\nread  reader-reader-reader\nwrite writer-writer-writer\n\nadmin admin-admin-admin-\n";

fn auth(text: &str) -> Auth {
    let tokens = parse(text).unwrap();
    Auth {
        path: Some("tokens".into()),
        tokens: ArcSwap::from_pointee(tokens),
        generation: AtomicU64::new(0),
    }
}

#[test]
fn roles_allow_what_lower_ones_allow() {
    let auth = auth(FILE);
    let roles = [Role::Read, Role::Write, Role::Admin];
    let tokens = [
        "reader-reader-reader",
        "writer-writer-writer",
        "admin-admin-admin-",
    ];
    for (has, token) in roles.into_iter().zip(tokens) {
        for needed in roles {
            let result = auth.check(Some(&format!("Bearer {token}")), needed);
            match result {
                Ok(role) => assert!(role == has && has >= needed),
                Err(failure) => {
                    assert!(has < needed);
                    assert_eq!(failure.code, FailureCode::PermissionDenied);
                    assert!(failure.message.contains(needed.as_str()), "{failure}");
                }
            }
        }
    }
}

#[test]
fn without_a_known_token_nothing_is_allowed() {
    let auth = auth(FILE);
    let wrong = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Basic reader-reader-reader"),
        Some("Bearer reader-reader-reade"),
        Some("Bearer reader-reader-reader2"),
    ];
    for header in wrong {
        let failure = auth.check(header, Role::Read).unwrap_err();
        assert_eq!(failure.code, FailureCode::Unauthenticated, "{header:?}");
        assert!(failure.message.contains("role read"), "{failure}");
    }
    assert_eq!(
        auth.check(Some("bearer reader-reader-reader"), Role::Read),
        Ok(Role::Read)
    );
}

#[test]
fn without_a_file_everything_is_allowed() {
    let auth = Auth::open();
    assert!(!auth.is_required());
    assert_eq!(auth.check(None, Role::Admin), Ok(Role::Admin));
    assert_eq!(auth.reload().unwrap(), 0);
}

#[test]
fn bad_files_are_refused_without_showing_a_token() {
    let secret = "super-secret-token-value";
    let cases = [
        ("", "holds no token"),
        ("# nothing\n", "holds no token"),
        (&format!("{secret} read"), "line 1: the first word must be"),
        (
            &format!("# x\nroot {secret}"),
            "line 2: the first word must be",
        ),
        ("read short", "has 5 characters; it needs at least 16"),
        (
            &format!("read {secret} {secret}"),
            "must be `read|write|admin TOKEN`",
        ),
        (&format!("read {secret}ä"), "printable ASCII"),
    ];
    for (text, expected) in cases {
        let problem = parse(text).unwrap_err();
        assert!(problem.contains(expected), "{text:?}: {problem}");
        assert!(!problem.contains(secret), "{problem}");
    }
    assert!(!format!("{:?}", auth(FILE)).contains("reader-reader"));
}

#[test]
fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"read reader-reader-reader\n").unwrap();
    let auth = Auth::load(file.path()).unwrap();
    assert!(
        auth.check(Some("Bearer reader-reader-reader"), Role::Read)
            .is_ok()
    );

    std::fs::write(file.path(), "read another-another-one\n").unwrap();
    assert_eq!(auth.reload().unwrap(), 1);
    assert!(
        auth.check(Some("Bearer reader-reader-reader"), Role::Read)
            .is_err()
    );

    std::fs::write(file.path(), "nonsense\n").unwrap();
    assert!(auth.reload().is_err());
    assert!(
        auth.check(Some("Bearer another-another-one"), Role::Read)
            .is_ok()
    );

    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(file.path(), mode).unwrap();
    let error = auth.reload().unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn a_pass_is_worth_what_its_token_is_worth_now() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |text: &str| std::fs::write(file.path(), text).unwrap();
    write("write writer-writer-writer\n");
    let auth = Auth::load(file.path()).unwrap();
    let header = Some("Bearer writer-writer-writer");
    let mut pass = Pass::new(&auth, header, Role::Read).unwrap();
    assert_eq!(pass.check(Role::Write), Ok(()));
    assert!(!format!("{pass:?}").contains("writer-writer"));

    let mut code_after = |text: &str, needed| {
        write(text);
        auth.reload().unwrap();
        pass.check(needed).err().map(|failure| failure.code)
    };
    let lowered = "read writer-writer-writer\n";
    let denied = Some(FailureCode::PermissionDenied);
    assert_eq!(code_after(lowered, Role::Write), denied);
    assert_eq!(code_after(lowered, Role::Read), None);
    let gone = "admin admin-admin-admin-\n";
    let unknown = Some(FailureCode::Unauthenticated);
    assert_eq!(code_after(gone, Role::Read), unknown);
    assert_eq!(code_after(gone, Role::Write), unknown);
    assert_eq!(
        code_after("admin writer-writer-writer\n", Role::Admin),
        None
    );
}

#[test]
fn nobody_gets_a_pass_without_the_role_that_it_is_for() {
    let auth = Arc::new(auth(FILE));
    let code = |header, needed| Pass::new(&auth, header, needed).unwrap_err().code;
    assert_eq!(code(None, Role::Read), FailureCode::Unauthenticated);
    let reader = Some("Bearer reader-reader-reader");
    assert_eq!(code(reader, Role::Write), FailureCode::PermissionDenied);
    let mut pass = Pass::new(&Auth::open(), None, Role::Read).unwrap();
    assert_eq!(pass.check(Role::Admin), Ok(()));
}
