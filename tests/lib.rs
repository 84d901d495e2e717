//! Support shared by the chapters.
