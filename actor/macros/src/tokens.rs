//! Small questions about names and types.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{GenericArgument, Path, PathArguments, PathSegment, Type};

/// A name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// `HTTPServer2` as `http_server2`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_small = at > 0 && !letters[at - 1].is_uppercase() && letters[at - 1] != '_';
        let before_small = at > 0 && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || before_small) && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The reference type of an actor type, at the same place.
pub(crate) fn reference_of(actor: &Path) -> Path {
    renamed(actor, |name| format!("{name}Ref"))
}

/// The message type of an actor type, at the same place.
pub(crate) fn message_of(actor: &Path) -> Path {
    renamed(actor, |name| format!("__{name}Message"))
}

fn renamed(path: &Path, name: impl FnOnce(String) -> String) -> Path {
    let mut path = path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = Ident::new(&name(plain(&last.ident)), last.ident.span());
    }
    path
}

/// Where generated code is said to be, if something is wrong with it. Its names do not clash with those there.
pub(crate) fn generated_at(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

pub(crate) fn last_segment(of: &Type) -> Option<&PathSegment> {
    match of {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

/// The types between `<` and `>`.
pub(crate) fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(argument) => Some(argument),
        _ => None,
    });
    types.collect()
}

/// Where a type borrows, or leaves open which type it is.
pub(crate) fn find_unfit(of: &Type) -> Option<(Span, &'static str)> {
    let unfit = |token: &TokenTree| match token {
        TokenTree::Punct(punct) if punct.as_char() == '&' => Some(
            "it travels, so it cannot borrow: use an owned type, `String` for `&str`, `Vec<T>` for `&[T]`",
        ),
        TokenTree::Ident(ident) if ident == "impl" => {
            Some("it travels, so its type must be written out instead of `impl`")
        }
        _ => None,
    };
    find(of.to_token_stream(), &unfit)
}

fn find<T>(tokens: TokenStream, wanted: &impl Fn(&TokenTree) -> Option<T>) -> Option<(Span, T)> {
    tokens.into_iter().find_map(|token| match &token {
        TokenTree::Group(group) => find(group.stream(), wanted),
        _ => wanted(&token).map(|found| (token.span(), found)),
    })
}

/// Replaces `Self`, which means something else where the tokens are going.
pub(crate) fn without_self(tokens: TokenStream, actor: &Path) -> TokenStream {
    let replace = |token| match token {
        TokenTree::Ident(ident) if ident == "Self" => actor.to_token_stream(),
        TokenTree::Group(group) => {
            let mut replaced = Group::new(group.delimiter(), without_self(group.stream(), actor));
            replaced.set_span(group.span());
            TokenTree::from(replaced).into()
        }
        other => other.into(),
    };
    tokens.into_iter().flat_map(|token| -> TokenStream { replace(token) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_become_snake_case() {
        let cases = [
            ("Counter", "counter"),
            ("ChatRoom", "chat_room"),
            ("HTTPServer2", "http_server2"),
            ("Room2Door", "room2_door"),
            ("A", "a"),
            ("Already_Snake", "already_snake"),
        ];
        for (name, snake) in cases {
            assert_eq!(snake_case(name), snake);
        }
    }

    #[test]
    fn borrowed_and_open_types_are_found_at_any_depth() {
        let unfit = |text: &str| find_unfit(&syn::parse_str(text).unwrap()).is_some();
        assert!(unfit("&str"));
        assert!(unfit("Option<(u8, [&'static str; 2])>"));
        assert!(unfit("Vec<impl Clone>"));
        assert!(!unfit("Option<Vec<(u8, String)>>"));
    }

    #[test]
    fn self_is_replaced_at_any_depth() {
        let tokens = without_self("Vec<(Self, u8)>".parse().unwrap(), &syn::parse_str("a::Counter").unwrap());
        assert_eq!(tokens.to_string().replace(' ', ""), "Vec<(a::Counter,u8)>");
    }
}
