//! Pictures of every screen in sizes, looks and conditions, compared with the text files
//! in `snapshots/`. `BLESS=1 cargo test -p cachectl snapshots` writes them anew.

use std::collections::BTreeMap;
use std::path::Path;

use crossterm::event::KeyCode;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::dialog;
use super::effect::{Ask, Change};
use super::fixture::{
    busy, empty, five, hear, lose, many, plan, press, status, type_in, with_shape,
};
use super::message::{Found, FoundEntry, Source, Update};
use super::state::{Look, Screen, State};
use super::view::draw;
use super::view::theme::Theme;

fn picture(state: &State, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(state, area, &mut buffer);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let line = |cells: &[ratatui::buffer::Cell]| {
        let mut line = String::new();
        let mut skip = 0;
        for cell in cells {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            line.push_str(cell.symbol());
            skip = ratatui::text::Span::raw(cell.symbol())
                .width()
                .saturating_sub(1);
        }
        format!("{}\n", line.trim_end())
    };
    buffer.content.chunks(width).map(line).collect()
}

/// A letter for each style, and what the letters mean.
fn styles(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let mut letters: BTreeMap<String, char> = BTreeMap::new();
    let plain = format!(
        "{:?}",
        Buffer::empty(Rect::new(0, 0, 1, 1)).content[0].style()
    );
    letters.insert(plain, '.');
    let mut grid = String::new();
    for line in buffer.content.chunks(width) {
        for cell in line {
            let next = char::from(b'a' + (letters.len() as u8 - 1).min(25));
            grid.push(*letters.entry(format!("{:?}", cell.style())).or_insert(next));
        }
        grid.push('\n');
    }
    let mut legend: Vec<(char, String)> = letters
        .into_iter()
        .map(|(style, letter)| (letter, style))
        .collect();
    legend.sort();
    let short = |style: &str| {
        style
            .replace(".bg(Color::Reset)", "")
            .replace(".underline_color(Color::Reset)", "")
    };
    let legend = legend
        .iter()
        .map(|(letter, style)| format!("{letter} {}\n", short(style)));
    grid + &legend.collect::<String>()
}

/// Compares with a file, or writes it.
fn check(name: &str, pictures: &[(&str, String)]) {
    let text: String = pictures
        .iter()
        .map(|(title, text)| format!("== {title}\n{text}\n"))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/snapshots");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != text {
        let lines = expected.lines().zip(text.lines());
        let first = lines.enumerate().find(|(_, (one, other))| one != other);
        panic!("{name}: {first:#?}\n\nMeant so? Run it with BLESS=1.\n{text}");
    }
}

fn on(screen: Screen) -> State {
    let mut state = busy();
    state.screen = screen;
    state
}

fn found() -> Found {
    Found {
        group: "users".to_owned(),
        key: "user:4411".to_owned(),
        slot: 3841,
        owner: "n1".to_owned(),
        range: (3790, 3902),
        virtual_node: "n1#27".to_owned(),
        next: vec!["n4".to_owned(), "n2".to_owned()],
        entry: Some(FoundEntry {
            bytes: 1229,
            preview: "{\"name\":\"Ann\"}".to_owned(),
            ttl: Some(std::time::Duration::from_secs(252)),
            version: "58.12".to_owned(),
        }),
        problem: String::new(),
    }
}

#[test]
fn overview_in_every_size() {
    let state = busy();
    let sizes = [(120, 40), (80, 24), (60, 15), (40, 10), (20, 5), (1, 1)];
    let pictures = sizes.map(|(width, height)| text(&picture(&state, width, height)));
    let titles = ["120x40", "80x24", "60x15", "40x10", "20x5", "1x1"];
    let pictures: Vec<_> = titles.into_iter().zip(pictures).collect();
    check("overview", &pictures);
}

#[test]
fn overview_in_every_condition() {
    let mut stale = busy();
    stale.now = super::fixture::at(66.0);
    let mut lost = busy();
    lose(&mut lost, 61.0, Source::Status);
    lost.now = super::fixture::at(62.5);
    let mut etcd_down = busy();
    hear(&mut etcd_down, 60.0, Update::Status(status(false)));
    etcd_down.now = super::fixture::at(60.4);
    let mut held = busy();
    press(&mut held, KeyCode::Char(' '));
    held.now = super::fixture::at(72.0);
    let mut filtered = busy();
    type_in(&mut filtered, "/!up");
    let long = many(7, |number| {
        format!("cache-node-with-a-very-long-name-{number}.example.org")
    });
    let mut replay = busy();
    replay.options.replay = true;
    let states = [
        ("nothing is known yet", empty()),
        ("stale", stale),
        ("nobody answers", lost),
        ("etcd down", etcd_down),
        ("held", held),
        ("a filter is typed", filtered),
        (
            "200 nodes",
            with_shape(&many(200, |number| format!("n{number}"))),
        ),
        (
            "no nodes",
            with_shape(&many(1, |_| "n".to_owned()).without_nodes()),
        ),
        ("long names", with_shape(&long)),
        ("a recording", replay),
    ];
    let pictures: Vec<_> = states
        .iter()
        .map(|(title, state)| (*title, text(&picture(state, 80, 24))))
        .collect();
    check("conditions", &pictures);
}

#[test]
fn every_screen() {
    for screen in &Screen::ALL[1..] {
        let mut state = on(*screen);
        if matches!(screen, Screen::Ring | Screen::Keys) {
            state.found = Some(found());
        }
        let mut pictures = Vec::new();
        for (title, width, height) in [("120x40", 120, 40), ("80x24", 80, 24), ("60x15", 60, 15)] {
            pictures.push((title, text(&picture(&state, width, height))));
        }
        state.look.ascii = true;
        pictures.push(("80x24 ascii", text(&picture(&state, 80, 24))));
        check(screen.title().to_lowercase().as_str(), &pictures);
    }
}

#[test]
fn every_theme() {
    let mut pictures = Vec::new();
    for (title, look) in [
        ("dark", Look::default()),
        (
            "light",
            Look {
                light: true,
                ..Look::default()
            },
        ),
        (
            "mono",
            Look {
                mono: true,
                ..Look::default()
            },
        ),
    ] {
        let mut state = busy();
        (state.look, state.theme) = (look, Theme::new(look));
        pictures.push((title, styles(&picture(&state, 80, 24))));
    }
    check("themes", &pictures);
}

fn dialogs() -> Vec<(&'static str, State)> {
    let mut waiting = on(Screen::Nodes);
    press(&mut waiting, KeyCode::Char('d'));
    let mut planned = on(Screen::Nodes);
    planned.options.context = "prod".to_owned();
    planned.options.production = true;
    planned.options.confirm = "prod".to_owned();
    press(&mut planned, KeyCode::Char('j'));
    press(&mut planned, KeyCode::Char('j'));
    press(&mut planned, KeyCode::Char('d'));
    let ask = Ask::Plan {
        change: Change::Drain,
        node: "n3".to_owned(),
    };
    dialog::planned(&mut planned, &ask, plan());
    let opened = |screen, keys: &str| {
        let mut state = on(screen);
        type_in(&mut state, keys);
        state
    };
    let mut toasts = busy();
    toasts.toast("n2 is blacklisted for 5m", false);
    toasts.toast("cachectl drain n3: the layout has changed since", true);
    vec![
        ("waits for a plan", waiting),
        ("drain in production", planned),
        ("cancel", opened(Screen::Migrations, "x")),
        ("rate", opened(Screen::Migrations, "+")),
        ("blacklist", opened(Screen::Nodes, "b")),
        ("look up", opened(Screen::Keys, "l")),
        ("write", opened(Screen::Keys, "i")),
        ("new group", opened(Screen::Groups, "c")),
        ("flush", opened(Screen::Groups, "Fsco")),
        ("help", opened(Screen::Groups, "?")),
        ("help is searched", opened(Screen::Groups, "?migr")),
        ("palette", opened(Screen::Groups, ":r")),
        ("messages", toasts),
    ]
}

#[test]
fn every_dialog() {
    let states = dialogs();
    let pictures: Vec<_> = states
        .iter()
        .map(|(title, state)| (*title, text(&picture(state, 80, 24))))
        .collect();
    check("dialogs", &pictures);
}

#[test]
fn dialogs_cover_what_lies_below() {
    for (title, state) in dialogs() {
        let buffer = picture(&state, 80, 24);
        let drawn = text(&buffer);
        assert!(!drawn.contains('\u{fffd}'), "{title}");
        if let Some(dialog::Dialog::Form(form)) = &state.dialog {
            for (width, height) in [(80, 24), (60, 15), (40, 12)] {
                let small = text(&picture(&state, width, height));
                assert!(
                    small.contains("Cancel"),
                    "{title} {width}x{height}:\n{small}"
                );
                assert!(
                    small.contains(form.button),
                    "{title} {width}x{height}:\n{small}"
                );
            }
        }
    }
}

#[test]
fn without_colours_there_are_none_and_in_ascii_nothing_else() {
    for screen in Screen::ALL {
        let mut state = on(screen);
        state.found = Some(found());
        let look = Look {
            ascii: true,
            mono: true,
            ..Look::default()
        };
        (state.look, state.theme) = (look, Theme::new(look));
        let buffer = picture(&state, 120, 40);
        for cell in &buffer.content {
            assert_eq!(
                (cell.fg, cell.bg),
                (Color::Reset, Color::Reset),
                "{screen:?}"
            );
            assert!(cell.symbol().is_ascii(), "{screen:?}: {}", cell.symbol());
        }
        (state.look, state.theme) = (Look::default(), Theme::new(Look::default()));
        let coloured = picture(&state, 120, 40);
        let styles: Vec<Style> = coloured.content.iter().map(|cell| cell.style()).collect();
        assert!(
            styles.iter().any(|style| style.fg != Some(Color::Reset)),
            "{screen:?}"
        );
        assert!(
            styles.iter().all(|style| style.bg == Some(Color::Reset)),
            "{screen:?}: a forced background"
        );
    }
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let mut states: Vec<State> = Screen::ALL.into_iter().map(on).collect();
    for state in &mut states {
        state.found = Some(found());
        state.toast("something happened", true);
    }
    states.extend(dialogs().into_iter().map(|(_, state)| state));
    let mut turn = 0;
    for height in 1..=60 {
        for width in 1..=200 {
            // Each size once, whatever is shown; small ones with everything.
            let small = height <= 6 && width <= 12;
            let each = if small { states.len() } else { 1 };
            for _ in 0..each {
                turn += 1;
                picture(&states[turn % states.len()], width, height);
            }
        }
    }
}

#[test]
fn the_largest_cluster_is_drawn_in_every_size_too() {
    let mut state = with_shape(&many(200, |number| format!("node-{number}")));
    for screen in Screen::ALL {
        state.screen = screen;
        for (width, height) in [(200, 60), (120, 40), (80, 24), (30, 8)] {
            picture(&state, width, height);
        }
    }
    assert_eq!(
        state.data.shape.as_ref().map(|shape| shape.nodes.len()),
        Some(200)
    );
    assert_eq!(five().nodes.len(), 5);
}
