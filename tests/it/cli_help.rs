//! The help of every command, word for word: a change shows in a review.
//! `BLESS=1 cargo test -p cached-tests --test it cli_help` writes the texts anew.

use cached_tests::command::Runner;
use cached_tests::{binaries, golden, tree};

#[tokio::test]
async fn help_is_as_it_was_agreed() {
    let mut differences = Vec::new();
    let own = ["cached", "cached dev", "cachectl"].map(str::to_owned);
    let below = tree::commands().await.into_iter();
    let below = below.map(|command| format!("cachectl {command}"));
    for command in own.into_iter().chain(below) {
        let mut words: Vec<&str> = command.split(' ').collect();
        let program = match words.remove(0) {
            "cached" => binaries::cached(),
            _ => binaries::cachectl(),
        };
        words.push("--help");
        let ran = Runner::new(&program, &words).run().await;
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        differences.extend(golden::compare(&command.replace(' ', "-"), &ran.out).err());
    }
    let differences = differences.join("\n\n");
    assert!(differences.is_empty(), "{differences}\n\n{}", golden::HINT);
}
