mod substitute;
