//! What stands in the parentheses of the two attributes.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Error, LitInt, LitStr, Path, Result, parse_quote};

/// Longest name of a type in bytes, as in addresses.
const NAME_BYTES_MAX: usize = 255;

pub(crate) struct ActorArguments {
    pub(crate) library: Path,
    pub(crate) volatile: bool,
    pub(crate) name: Option<String>,
    pub(crate) idle_after_s: Option<u64>,
    pub(crate) mailbox_capacity: Option<usize>,
}

impl ActorArguments {
    /// Reads as far as it goes: the rest keeps its defaults, and the error tells why.
    pub(crate) fn read(tokens: TokenStream) -> (Self, Option<Error>) {
        let mut read = Self {
            library: default_library(),
            volatile: false,
            name: None,
            idle_after_s: None,
            mailbox_capacity: None,
        };
        let parser = syn::meta::parser(|meta| read.set(&meta));
        let error = parser.parse2(tokens).err();
        (read, error)
    }

    fn set(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("volatile") {
            return match std::mem::replace(&mut self.volatile, true) {
                false => Ok(()),
                true => Err(twice(meta)),
            };
        }
        if meta.path.is_ident("name") {
            return fill(&mut self.name, meta, |value: LitStr| type_name(&value));
        }
        if meta.path.is_ident("idle_after") {
            return fill(&mut self.idle_after_s, meta, |value: LitStr| seconds(&value));
        }
        if meta.path.is_ident("mailbox_capacity") {
            return fill(&mut self.mailbox_capacity, meta, |value: LitInt| capacity(&value));
        }
        if meta.path.is_ident("crate") {
            self.library = meta.value()?.parse()?;
            return Ok(());
        }
        Err(meta.error("`#[actor]` knows `volatile`, `name`, `idle_after`, `mailbox_capacity` and `crate`"))
    }
}

/// Reads the arguments of `#[handlers]`, which are at most the path of the library.
pub(crate) fn handlers_library(tokens: TokenStream) -> (Path, Option<Error>) {
    let mut library = default_library();
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("crate") {
            return Err(meta.error("`#[handlers]` knows only `crate`; options belong to `#[actor]`"));
        }
        library = meta.value()?.parse()?;
        Ok(())
    });
    let error = parser.parse2(tokens).err();
    (library, error)
}

fn default_library() -> Path {
    parse_quote!(::gritmesh::actor)
}

fn fill<L: syn::parse::Parse, T>(
    place: &mut Option<T>,
    meta: &ParseNestedMeta<'_>,
    read: impl FnOnce(L) -> Result<T>,
) -> Result<()> {
    let value = read(meta.value()?.parse()?)?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice(meta)),
    }
}

fn twice(meta: &ParseNestedMeta<'_>) -> Error {
    meta.error("given twice")
}

fn type_name(literal: &LitStr) -> Result<String> {
    let name = literal.value();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match name.chars().all(fits) && (1..=NAME_BYTES_MAX).contains(&name.len()) {
        true => Ok(name),
        false => {
            let rule = "the name of a type has 1 to 255 letters, digits, `_`, `-` and `.`";
            Err(Error::new(literal.span(), rule))
        }
    }
}

fn seconds(literal: &LitStr) -> Result<u64> {
    let text = literal.value();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        _ => None,
    };
    let number = digits.parse::<u64>().ok();
    number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit)).ok_or_else(|| {
        Error::new(literal.span(), "a time is a whole number with a unit, `s`, `m` or `h`, as in \"90s\"")
    })
}

fn capacity(literal: &LitInt) -> Result<usize> {
    match literal.base10_parse()? {
        0 => Err(Error::new(literal.span(), "a mailbox holds at least one message: the one that activates")),
        capacity => Ok(capacity),
    }
}
