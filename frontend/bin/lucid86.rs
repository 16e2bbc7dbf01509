//! The `lucid86` program: everything is in the `lucid86-frontend` crate.
fn main() -> std::process::ExitCode {
    lucid86_frontend::main()
}
