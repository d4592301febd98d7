//! Example applications
