//! As whom one comes, and tokens.

use super::{
    clean,
    table::{Table, pairs},
    time,
};
use lucid_schemas::http::{TokenList, TokenView, WhoView};

/// As whom one comes.
pub fn who(who: &WhoView) -> String {
    pairs(&[
        ("name".into(), who.name.clone()),
        ("role".into(), who.role.clone()),
        ("databases".into(), databases(who.databases.as_deref())),
    ])
}

/// Tokens, by name.
pub fn tokens(list: &TokenList) -> String {
    let mut table = Table::new(&["TOKEN", "ROLE", "DATABASES", "STANDING", "EXPIRES", "MADE BY"]);
    for token in &list.tokens {
        table.row(&[
            token.name.clone(),
            token.role.clone(),
            databases(token.databases.as_deref()),
            token.standing.clone(),
            token.expires_at.as_deref().map_or_else(|| "never".into(), time::second),
            token.created_by.clone(),
        ]);
    }
    let text = if list.tokens.is_empty() { "no tokens\n".into() } else { table.text() };
    list.problems.iter().fold(text, |text, problem| text + &clean(problem) + "\n")
}

/// One token.
pub fn token(token: &TokenView) -> String {
    tokens(&TokenList { tokens: vec![token.clone()], problems: Vec::new() })
}

fn databases(names: Option<&[String]>) -> String {
    names.map_or_else(|| "all".into(), |names| names.join(", "))
}
