//! What the program says of its sockets.

use std::io::Read;

/// Where the program says that it listens: in the next line of its standard error.
pub fn listens_at(errors: &mut impl Read) -> String {
    let mut said = String::new();
    while !said.contains('\n') {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).ok(), Some(1), "{said}");
        said.push(byte[0].into());
    }
    said.trim().rsplit(' ').next().expect("an address").to_string()
}
