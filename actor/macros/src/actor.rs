//! `#[actor]`: the reference and message types of an actor, and what `#[handlers]` wants to know of it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Path};

use crate::arguments::ActorArguments;
use crate::tokens::{generated_at, message_of, plain, reference_of, snake_case};

const NOT_DURABLE_YET: &str = "`#[actor]` is durable; durable actors are not part of this version: \
                               write `#[actor(volatile)]`";

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let (arguments, mut error) = ActorArguments::read(arguments);
    let Ok(input) = syn::parse2::<DeriveInput>(item.clone()) else {
        return Error::new_spanned(item, "`#[actor]` goes on a struct or an enum").to_compile_error();
    };
    if error.is_none() {
        error = check(&arguments, &input).err();
    }
    let generated = generate(&arguments, &input);
    let error = error.map(|error| error.to_compile_error());
    quote! { #item #generated #error }
}

fn check(arguments: &ActorArguments, input: &DeriveInput) -> syn::Result<()> {
    if let Data::Union(union) = &input.data {
        return Err(Error::new_spanned(union.union_token, "`#[actor]` goes on a struct or an enum"));
    }
    if !input.generics.params.is_empty() {
        let reason = "an actor cannot be generic: its type has one name in the cluster";
        return Err(Error::new_spanned(&input.generics, reason));
    }
    match arguments.volatile {
        true => Ok(()),
        false => Err(Error::new(proc_macro2::Span::call_site(), NOT_DURABLE_YET)),
    }
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
            type Ref = #reference;

            fn options() -> #library::ActorOptions {
                #library::ActorOptions::DEFAULT #options
            }
        }
    }
}

fn options(arguments: &ActorArguments) -> TokenStream {
    let idle_after = arguments
        .idle_after_s
        .map(|seconds| quote! { .with_idle_after(::core::time::Duration::from_secs(#seconds)) });
    let capacity = arguments.mailbox_capacity.map(|capacity| quote! { .with_mailbox_capacity(#capacity) });
    quote! { #idle_after #capacity }
}
