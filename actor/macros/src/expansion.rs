//! The code that is generated for a `#[handlers]` block.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Index, Path};

use crate::handlers::{Hook, Lifecycle};
use crate::method::{Input, Method, Output};
use crate::tokens::{generated_at, message_of, plain, reference_of};

pub(crate) struct Expansion<'a> {
    library: &'a Path,
    actor: &'a Path,
    reference: Path,
    message: Path,
}

impl<'a> Expansion<'a> {
    pub(crate) fn new(library: &'a Path, actor: &'a Path) -> Self {
        Self { library, actor, reference: reference_of(actor), message: message_of(actor) }
    }

    /// The message of a method, its handler, and the method of the reference.
    pub(crate) fn method(&self, number: usize, method: &Method) -> TokenStream {
        let conditions = &method.conditions;
        let parts = [
            self.arguments_check(method),
            self.message(number, method),
            self.handler(number, method),
            self.call(number, method),
        ];
        parts.iter().map(|part| quote! { #(#conditions)* #part }).collect()
    }

    /// Has the compiler complain at the argument itself if its type cannot travel.
    fn arguments_check(&self, method: &Method) -> TokenStream {
        let library = self.library;
        let checks = arguments(method).map(|(_, of)| {
            quote_spanned! { of.span() => #library::__private::assert_argument::<#of>(); }
        });
        quote! { const _: () = { #(#checks)* }; }
    }

    fn message(&self, number: usize, method: &Method) -> TokenStream {
        let library = self.library;
        let message = self.message_type(number, method);
        let (name, query) = (plain(&method.name), method.query);
        let (reply, error) = match &method.output {
            Output::Plain(reply) => (reply, quote! { #library::NoError }),
            Output::Fallible(reply, error) => (reply, error.clone()),
        };
        let place = generated_at(method.name.span());
        let (encode, decode) = match arguments(method).next() {
            Some(_) => (
                quote_spanned! { place => #library::codec::encode(&self.0) },
                quote_spanned! { place => #library::codec::decode_arguments(arguments).map(Self) },
            ),
            None => (
                quote! { ::core::result::Result::Ok(#library::codec::encode_no_arguments()) },
                quote_spanned! { place => #library::codec::decode_no_arguments(arguments).map(Self) },
            ),
        };
        quote_spanned! { place =>
            impl #library::Message for #message {
                const METHOD: &'static str = #name;
                const QUERY: bool = #query;
                type Reply = #reply;
                type Error = #error;

                fn encode(
                    &self,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, #library::codec::CodecError> {
                    #encode
                }

                fn decode(arguments: &[u8]) -> ::core::result::Result<Self, #library::codec::CodecError> {
                    #decode
                }
            }
        }
    }

    fn handler(&self, number: usize, method: &Method) -> TokenStream {
        let (library, actor, name) = (self.library, self.actor, &method.name);
        let message = self.message_type(number, method);
        let place = generated_at(name.span());
        let mut at = 0;
        let inputs = method.inputs.iter().map(|input| match input {
            Input::Context => quote_spanned! { place => ctx },
            Input::Argument { .. } => {
                let index = Index::from(at);
                at += 1;
                quote_spanned! { place => message.0.#index }
            }
        });
        let wait = method.asynchronous.then(|| quote_spanned! { place => .await });
        let run = quote_spanned! { place => #actor::#name(self, #(#inputs),*) #wait };
        let run = match method.output {
            Output::Plain(_) => quote! { ::core::result::Result::Ok(#run) },
            Output::Fallible(..) => run,
        };
        quote_spanned! { place =>
            #[allow(deprecated, unused_variables, clippy::unit_arg, clippy::unused_async)]
            impl #library::Handler<#message> for #actor {
                async fn handle(
                    &mut self,
                    message: #message,
                    ctx: &mut #library::Context<'_>,
                ) -> ::core::result::Result<
                    <#message as #library::Message>::Reply,
                    <#message as #library::Message>::Error,
                > {
                    #run
                }
            }
        }
    }

    fn call(&self, number: usize, method: &Method) -> TokenStream {
        let (library, actor, reference, name) = (self.library, self.actor, &self.reference, &method.name);
        let (message, message_type) = (&self.message, self.message_type(number, method));
        let shown = &method.shown;
        let (names, types): (Vec<_>, Vec<_>) = arguments(method).unzip();
        let undocumented = !shown.iter().any(|attribute| attribute.path().is_ident("doc"));
        let doc = undocumented.then(|| {
            let text = format!("Calls `{}` of the actor.", plain(name));
            quote! { #[doc = #text] }
        });
        quote_spanned! { generated_at(name.span()) =>
            #[allow(dead_code, clippy::too_many_arguments)]
            impl #reference {
                #doc
                #(#shown)*
                pub fn #name(&self, #(#names: #types),*) -> #library::Call<'_, #actor, #message_type> {
                    #library::Call::new(&self.0, #message((#(#names,)*)))
                }
            }
        }
    }

    /// The implementation of the actor as a whole.
    pub(crate) fn actor(&self, methods: &[Method], lifecycle: &Lifecycle) -> TokenStream {
        let (library, actor) = (self.library, self.actor);
        let place = generated_at(actor.span());
        let pushes = methods.iter().enumerate().map(|(number, method)| {
            let (conditions, message) = (&method.conditions, self.message_type(number, method));
            quote_spanned! { place => #(#conditions)* methods.push(#library::Method::of::<#message>()); }
        });
        let (activate, deactivate) = (self.activate(lifecycle), self.deactivate(lifecycle));
        let volatile = self.volatile(lifecycle);
        quote_spanned! { place =>
            #[allow(unused_variables, clippy::unused_async)]
            impl #library::Actor for #actor {
                const TYPE: &'static str = <#actor as #library::__private::Declared>::TYPE;
                type Ref = <#actor as #library::__private::Declared>::Ref;
                const KEEPING: ::core::option::Option<#library::Keeping<Self>> =
                    <#actor as #library::__private::Declared>::KEEPING;

                async fn activate(
                    ctx: &mut #library::Context<'_>,
                ) -> ::core::result::Result<Self, #library::ActivationError> {
                    #activate
                }

                async fn deactivate(&mut self, ctx: &mut #library::Context<'_>) {
                    #deactivate
                }

                fn options() -> #library::ActorOptions {
                    <#actor as #library::__private::Declared>::options()
                }

                #[allow(unused_mut, clippy::vec_init_then_push)]
                fn methods() -> ::std::vec::Vec<#library::Method<Self>> {
                    let mut methods = ::std::vec::Vec::new();
                    #(#pushes)*
                    methods
                }
            }

            #volatile
        }
    }

    /// Has the compiler complain about the `activate` of a durable actor.
    fn volatile(&self, lifecycle: &Lifecycle) -> Option<TokenStream> {
        let library = self.library;
        let Hook::Present { name, .. } = &lifecycle.activate else {
            return None;
        };
        let place = generated_at(name.span());
        let mut actor = self.actor.clone();
        for segment in &mut actor.segments {
            segment.ident.set_span(segment.ident.span().located_at(name.span()));
        }
        Some(quote_spanned! { place =>
            const _: () = #library::__private::assert_volatile::<#actor>();
        })
    }

    fn activate(&self, lifecycle: &Lifecycle) -> TokenStream {
        let (library, actor) = (self.library, self.actor);
        let place = generated_at(actor.span());
        let (name, asynchronous, context) = match &lifecycle.activate {
            Hook::Absent => {
                return quote_spanned! { place =>
                    ::core::result::Result::Ok(<#actor as #library::__private::ActivatedByDefault>::start())
                };
            }
            Hook::Wrong => return quote! { ::core::unreachable!() },
            Hook::Present { name, asynchronous, context } => (name, asynchronous, context),
        };
        let ctx = context.then(|| quote_spanned! { place => ctx });
        let wait = asynchronous.then(|| quote! { .await });
        quote! { #actor::#name(#ctx) #wait }
    }

    fn deactivate(&self, lifecycle: &Lifecycle) -> TokenStream {
        let actor = self.actor;
        let place = generated_at(actor.span());
        let Hook::Present { name, asynchronous, context } = &lifecycle.deactivate else {
            return TokenStream::new();
        };
        let ctx = context.then(|| quote_spanned! { place => ctx });
        let wait = asynchronous.then(|| quote! { .await });
        quote_spanned! { place => #actor::#name(self, #ctx) #wait; }
    }

    /// What every reference can do. It stands here and not with `#[actor]` so that an actor without handlers is
    /// one error and not six.
    pub(crate) fn reference(&self) -> TokenStream {
        let (library, actor, reference) = (self.library, self.actor, &self.reference);
        let name = self.reference.segments.last().map(|segment| plain(&segment.ident)).unwrap_or_default();
        quote_spanned! { generated_at(actor.span()) =>
            #[allow(dead_code)]
            impl #reference {
                /// The actor that is referred to.
                pub const fn address(&self) -> &#library::__private::ActorAddress {
                    self.0.address()
                }
            }

            impl ::core::convert::From<#library::ActorRef<#actor>> for #reference {
                fn from(reference: #library::ActorRef<#actor>) -> Self {
                    Self(reference)
                }
            }

            impl ::core::convert::AsRef<#library::ActorRef<#actor>> for #reference {
                fn as_ref(&self) -> &#library::ActorRef<#actor> {
                    &self.0
                }
            }

            impl ::core::clone::Clone for #reference {
                fn clone(&self) -> Self {
                    Self(::core::clone::Clone::clone(&self.0))
                }
            }

            impl ::core::fmt::Debug for #reference {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    ::core::write!(f, "{}({})", #name, self.0.address())
                }
            }

            impl ::core::cmp::PartialEq for #reference {
                fn eq(&self, other: &Self) -> bool {
                    self.0 == other.0
                }
            }

            impl ::core::cmp::Eq for #reference {}
        }
    }

    fn message_type(&self, number: usize, method: &Method) -> TokenStream {
        let message = &self.message;
        let types = arguments(method).map(|(_, of)| of);
        quote! { #message<#number, (#(#types,)*)> }
    }
}

fn arguments(method: &Method) -> impl Iterator<Item = (&proc_macro2::Ident, &TokenStream)> {
    method.inputs.iter().filter_map(|input| match input {
        Input::Context => None,
        Input::Argument { name, of } => Some((name, of)),
    })
}
