//! The README's tour, typed word for word against `cached dev`: what is printed there is
//! what comes.

use std::path::Path;
use std::time::Duration;

use cached_tests::command::Runner;
use cached_tests::process::Process;
use cached_tests::{binaries, console, wait};

/// Commands whose figures depend on the moment: of them only words are compared.
const OF_THE_MOMENT: [&str; 3] = ["cachectl nodes", "cachectl status", "cachectl drain"];

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_answers_what_the_readme_says() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["dev", "--ports", "auto"].map(str::to_owned);
    let log = folder.path().join("dev.log");
    let mut dev = Process::start(&binaries::cached(), &arguments, &log);
    let node = dev.listening().await;
    let gateway = wait::until("the gateway listens", Duration::from_secs(20), || async {
        let output = dev.output();
        let (_, rest) = output
            .split_once("gateway listening on ")
            .ok_or("not yet")?;
        let word = rest.split_whitespace().next();
        word.map(str::to_owned).ok_or("not yet")
    })
    .await;

    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, tour) = readme.split_once("## A tour of ten commands").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    let steps = console::steps(tour);
    assert_eq!(steps.len(), 10);
    let line = |step: &console::Step| {
        // curl shows its progress where it is not on a terminal.
        let both = if step.command.starts_with("curl") {
            ""
        } else {
            "2>&1"
        };
        format!("{} {both}\nprintf '@end@\\n'\n", step.command)
    };
    let script: String = steps.iter().map(line).collect();
    let script = script.replace("http://127.0.0.1:9999", &gateway);
    let cachectl = binaries::cachectl();
    let programs = cachectl.parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    let ran = Runner::new(Path::new("bash"), &["-s"])
        .env("PATH", &format!("{programs}:{path}"))
        .env("CACHECTL_ENDPOINT", &format!("http://{node}"))
        .input(script.as_bytes())
        .run()
        .await;
    let answers: Vec<&str> = ran.out.split("@end@\n").collect();
    assert_eq!(answers.len(), steps.len() + 1, "{ran:?}");
    for (step, answer) in steps.iter().zip(answers) {
        let of_the_moment = |line: &&str| step.command.starts_with(line);
        let loose = OF_THE_MOMENT.iter().any(of_the_moment);
        let (expected, got) = (shape(&step.output, loose), shape(answer, loose));
        assert_eq!(got, expected, "{}\n{answer}", step.command);
    }
    dev.terminate();
    dev.ended(Duration::from_secs(40)).await;
}

/// A text without what differs from run to run: addresses, ids, times, and what stands
/// between words; if `loose`, also numbers.
fn shape(text: &str, loose: bool) -> Vec<String> {
    let word = |word: &str| {
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        let exact = word.chars().all(|c| c.is_ascii_hexdigit() || c == '–');
        match word {
            word if word.contains("127.0.0.1:") => "ADDRESS".to_owned(),
            word if word.starts_with("op-") => "OPERATION".to_owned(),
            _ if number && (loose || !exact) => "NUMBER".to_owned(),
            word => word.to_owned(),
        }
    };
    let line = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        words.join(" ")
    };
    // On a terminal the progress of a change is drawn in place, and gone at its end.
    let stays = |line: &&str| !(line.starts_with("op-") && line.contains(" slots  "));
    text.lines()
        .filter(stays)
        .map(line)
        .filter(|line| !line.is_empty())
        .collect()
}
