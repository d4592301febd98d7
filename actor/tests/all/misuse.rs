//! What the attributes say to code that they cannot make an actor of.

#[test]
fn misuse_is_explained_where_it_stands() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/misuse/*.rs");
}
