//! `#[actor]`: the reference and message types of an actor, and what `#[handlers]` wants to know of it.

use proc_macro2::{TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Error, Fields, Member, Meta, Path, parse_quote};

use crate::arguments::ActorArguments;
use crate::tokens::{generated_at, message_of, plain, reference_of, snake_case};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let (arguments, mut error) = ActorArguments::read(arguments);
    let Ok(mut input) = syn::parse2::<DeriveInput>(item.clone()) else {
        return Error::new_spanned(item, "`#[actor]` goes on a struct or an enum").to_compile_error();
    };
    if error.is_none() {
        error = check(&input).err();
    }
    let generated = generate(&arguments, &input);
    let error = error.map(|error| error.to_compile_error());
    if !arguments.volatile && takes_defaults(&input) {
        // Last, since the attribute means nothing before the `derive` that reads it.
        input.attrs.push(parse_quote!(#[serde(default)]));
    }
    quote! { #input #generated #error }
}

fn check(input: &DeriveInput) -> syn::Result<()> {
    if let Data::Union(union) = &input.data {
        return Err(Error::new_spanned(union.union_token, "`#[actor]` goes on a struct or an enum"));
    }
    if !input.generics.params.is_empty() {
        let reason = "an actor cannot be generic: its type has one name in the cluster";
        return Err(Error::new_spanned(&input.generics, reason));
    }
    Ok(())
}

fn generate(arguments: &ActorArguments, input: &DeriveInput) -> TokenStream {
    let DeriveInput { vis, ident, .. } = input;
    // A generic actor is refused, and what would be generated for it would only add errors.
    if !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let library = &arguments.library;
    let path = Path::from(ident.clone());
    let (reference, message) = (reference_of(&path), message_of(&path));
    let name = arguments.name.clone().unwrap_or_else(|| snake_case(&plain(ident)));
    let options = options(arguments);
    let (keeping, marker) = keeping(arguments, input);
    let summary =
        format!("A reference to a [`{}`], wherever it is. Its handlers are methods here.", plain(ident));
    quote_spanned! { generated_at(ident.span()) =>
        #[doc = #summary]
        #[allow(dead_code)]
        #vis struct #reference(#[doc(hidden)] #vis #library::ActorRef<#ident>);

        /// The arguments `T` of method number `METHOD`.
        #[doc(hidden)]
        #[allow(dead_code)]
        #[derive(Debug)]
        #vis struct #message<const METHOD: usize, T>(#vis T);

        impl #library::__private::Declared for #ident {
            const TYPE: &'static str = #name;
            const KEEPING: ::core::option::Option<#library::Keeping<Self>> = #keeping;
            type Ref = #reference;

            fn options() -> #library::ActorOptions {
                #library::ActorOptions::DEFAULT #options
            }
        }

        #marker
    }
}

/// How the state is kept, and what tells other code whether it is.
fn keeping(arguments: &ActorArguments, input: &DeriveInput) -> (TokenStream, TokenStream) {
    let (library, ident) = (&arguments.library, &input.ident);
    let place = generated_at(ident.span());
    if arguments.volatile {
        let marker = quote_spanned! { place => impl #library::__private::Volatile for #ident {} };
        return (quote! { ::core::option::Option::None }, marker);
    }
    let visits = fields(input).map(|(field, name)| {
        quote_spanned! { place =>
            (&mut #library::__private::Field(&mut actor.#field, #name)).visit(fields);
        }
    });
    let keeping = quote_spanned! { place =>
        ::core::option::Option::Some(#library::Keeping::<#ident>::of(|actor, fields| {
            #[allow(unused_imports)]
            use #library::__private::{VisitCollection as _, VisitPlain as _};
            let (_, _) = (&actor, &fields);
            #(#visits)*
        }))
    };
    (keeping, quote_spanned! { place => impl #library::Durable for #ident {} })
}

/// The fields of a struct, and the names under which they are stored. Those of an enum come and go with its
/// variants, so a collection cannot be among them; serde refuses one that has anything in it.
fn fields(input: &DeriveInput) -> impl Iterator<Item = (Member, String)> {
    let fields = match &input.data {
        Data::Struct(data) => Some(&data.fields),
        Data::Enum(_) | Data::Union(_) => None,
    };
    fields.into_iter().flat_map(Fields::members).map(|member| {
        let name = match &member {
            Member::Named(ident) => plain(ident),
            Member::Unnamed(index) => index.index.to_string(),
        };
        (member, name)
    })
}

/// Whether serde can be told to take fields that an older build did not write from the actor's own `Default`.
fn takes_defaults(input: &DeriveInput) -> bool {
    let named = matches!(&input.data, Data::Struct(data) if matches!(data.fields, Fields::Named(_)));
    let mentions = |attribute: &Attribute, name: &str| match &attribute.meta {
        Meta::List(list) => list
            .tokens
            .clone()
            .into_iter()
            .any(|token| matches!(token, TokenTree::Ident(ident) if ident == name)),
        _ => false,
    };
    let derived =
        |attribute: &Attribute| attribute.path().is_ident("derive") && mentions(attribute, "Deserialize");
    let decided =
        |attribute: &Attribute| attribute.path().is_ident("serde") && mentions(attribute, "default");
    named && input.attrs.iter().any(derived) && !input.attrs.iter().any(decided)
}

fn options(arguments: &ActorArguments) -> TokenStream {
    let idle_after = arguments
        .idle_after_s
        .map(|seconds| quote! { .with_idle_after(::core::time::Duration::from_secs(#seconds)) });
    let capacity = arguments.mailbox_capacity.map(|capacity| quote! { .with_mailbox_capacity(#capacity) });
    quote! { #idle_after #capacity }
}
