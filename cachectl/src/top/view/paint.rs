//! Styles as a file spells them: `light-red bold`, `#ffaf00`, `reversed`. Pure.

use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};
use serde::{Deserialize, Deserializer, de};

/// Attributes and their words.
const ATTRIBUTES: [(Modifier, &str); 5] = [
    (Modifier::BOLD, "bold"),
    (Modifier::DIM, "dim"),
    (Modifier::ITALIC, "italic"),
    (Modifier::UNDERLINED, "underlined"),
    (Modifier::REVERSED, "reversed"),
];

/// A style: at most one colour, and attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub Style);

/// A colour: of the terminal's palette by name or number, or `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hue(pub Color);

impl FromStr for Hue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = (!text.contains(char::is_whitespace)).then(|| text.parse().ok());
        let wrong = || {
            format!(
                "{text:?} is no colour: black, red, green, yellow, blue, magenta, cyan, gray, dark-gray, white, light-red and so on, default, 0 to 255, or #rrggbb"
            )
        };
        match text {
            "default" => Ok(Self(Color::Reset)),
            _ => known.flatten().map(Self).ok_or_else(wrong),
        }
    }
}

impl FromStr for Paint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut style = Style::default();
        for word in text.split_whitespace() {
            let attribute = ATTRIBUTES.iter().find(|(_, name)| *name == word);
            match attribute {
                Some((attribute, _)) => style = style.add_modifier(*attribute),
                None if style.fg.is_some() => {
                    return Err(format!(
                        "{text:?} has more than one colour, or {word:?} is no attribute: bold, dim, italic, underlined, reversed"
                    ));
                }
                None => style = style.fg(word.parse::<Hue>()?.0),
            }
        }
        Ok(Self(style))
    }
}

/// A style as a file spells it.
pub fn spelled(style: Style) -> String {
    let colour = style.fg.map(hue_spelled);
    let attributes = ATTRIBUTES.iter();
    let attributes = attributes.filter(|(attribute, _)| style.add_modifier.contains(*attribute));
    let words = attributes.map(|(_, name)| (*name).to_owned());
    colour
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A colour as a file spells it.
pub fn hue_spelled(color: Color) -> String {
    match color {
        Color::Reset => "default".to_owned(),
        Color::Rgb(..) | Color::Indexed(_) => color.to_string(),
        // `LightRed` is `light-red`.
        named => {
            let mut words = String::new();
            for c in named.to_string().chars() {
                if c.is_ascii_uppercase() && !words.is_empty() {
                    words.push('-');
                }
                words.push(c.to_ascii_lowercase());
            }
            words
        }
    }
}

macro_rules! read_as_text {
    ($type:ident) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

read_as_text!(Paint);
read_as_text!(Hue);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_is_read_again() {
        for text in [
            "",
            "red",
            "light-green bold",
            "dark-gray",
            "#ffaf00 dim underlined",
            "208",
            "bold reversed",
            "default",
        ] {
            let paint: Paint = text.parse().unwrap();
            assert_eq!(spelled(paint.0).to_lowercase(), text);
        }
        let other: Paint = "bold red".parse().unwrap();
        assert_eq!(spelled(other.0), "red bold");
    }

    #[test]
    fn what_is_no_style_is_refused() {
        for (text, why) in [
            ("rad", "\"rad\" is no colour: black"),
            ("red blue", "more than one colour"),
            ("red blod", "\"blod\" is no attribute"),
            ("#12", "is no colour"),
            ("256", "is no colour"),
        ] {
            let refusal = text.parse::<Paint>().unwrap_err();
            assert!(refusal.contains(why), "{refusal}");
        }
        assert!("light red".parse::<Hue>().is_err());
    }
}
