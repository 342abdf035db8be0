/* Linked with a library that acts before main. */
int early_linked(void);
int main(void) { return early_linked(); }
