//! What operators may ask for, and what it comes to.
