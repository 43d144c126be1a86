//! The manual page that is printed from the tables.
