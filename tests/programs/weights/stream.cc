/* Reads each file as C++ does. */
#include <fstream>
#include <sys/sysinfo.h>
#include <vector>

int main(int argc, char **argv) {
    std::vector<char> buffer(1 << 20);
    for (int i = 1; i < argc; i++) {
        std::ifstream file(argv[i], std::ios::binary);
        while (file.read(buffer.data(), buffer.size()) || file.gcount() > 0) {}
    }
    struct sysinfo info;
    return sysinfo(&info);
}
