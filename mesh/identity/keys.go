package identity

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Keys holds the private keys of CAs by name. A [Folder] is one; another may be a KMS, whose signers never show their key. No real KMS was tried.
type Keys interface {
	// Make makes an ECDSA P-256 key. A name that is taken is an error.
	Make(name string) (crypto.Signer, error)
	// Open returns one that was made.
	Open(name string) (crypto.Signer, error)
	// Remove deletes one for good; one that is not there is no error.
	Remove(name string) error
}

// MasterBytes is the length of the secret that the keys of a [Folder] are encrypted with.
const MasterBytes = 32

// The format of a key file: the magic, the version, a salt, a nonce, and PKCS #8 under AES-256-GCM. The key of the file is
// HKDF-SHA256(master, salt, info). All that stands before the nonce, and the name, are authenticated.
const (
	keyMagic   = "evenkeel-key"
	keyVersion = 1
	keyInfo    = "evenkeel.dev/mesh/identity/key/1"
	saltBytes  = 32
	nonceBytes = 12
)

// A Folder keeps each key in a file of its own, encrypted. Use it from one goroutine at a time.
type Folder struct {
	dir    string
	master []byte
}

// OpenFolder returns the keys in a folder, which is made where it is not there. The file of the master secret holds 32 bytes, as they are or in
// hexadecimal, and nobody but its owner may read it. It does not belong on the disk or in the back-up that holds the folder.
func OpenFolder(dir, masterFile string) (*Folder, error) {
	info, err := os.Stat(masterFile)
	if err != nil {
		return nil, fmt.Errorf("identity: the master secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("identity: the master secret %s may be read by others (mode %o); make it 600", masterFile, info.Mode().Perm())
	}
	secret, err := os.ReadFile(masterFile)
	if err != nil {
		return nil, fmt.Errorf("identity: the master secret: %w", err)
	}
	if text := bytes.TrimSpace(secret); len(text) == hex.EncodedLen(MasterBytes) {
		secret, err = hex.DecodeString(string(text))
	}
	if err != nil || len(secret) != MasterBytes {
		return nil, fmt.Errorf("identity: the master secret %s is not %d bytes, nor that in hexadecimal", masterFile, MasterBytes) // without what it holds
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &Folder{dir: dir, master: secret}, nil
}

// Format keeps the secret out of whatever is printed.
func (f *Folder) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "keys in %s", f.dir) }

// Make implements [Keys].
func (f *Folder) Make(name string) (crypto.Signer, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: make key %s: %w", name, err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("identity: make key %s: %w", name, err)
	}
	data, err := f.seal(name, plain)
	if err != nil {
		return nil, err
	}
	return key, write(path, data)
}

// write writes a new file to the disk, whole or not at all.
func write(path string, data []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("identity: the key %s is there already", path)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 600
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Link(temporary.Name(), path) // refuses to take the place of another, which a rename does not
	}
	if err = errors.Join(err, os.Remove(temporary.Name())); err != nil {
		return fmt.Errorf("identity: write key: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Open implements [Keys].
func (f *Folder) Open(name string) (crypto.Signer, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("identity: open key %s: %w", name, err)
	}
	plain, err := f.unseal(name, data)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("identity: open key %s: it holds no private key", name) // the parser's error might show a part of it
	}
	return signer, nil
}

// Remove implements [Keys].
func (f *Folder) Remove(name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("identity: remove key %s: %w", name, err)
	}
	return nil
}

func (f *Folder) path(name string) (string, error) {
	if name == "" || len(name) > 200 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || name[0] == '.' {
		return "", fmt.Errorf("identity: %q is no name of a key", name)
	}
	return filepath.Join(f.dir, name+".key"), nil
}

func (f *Folder) seal(name string, plain []byte) ([]byte, error) {
	out := append([]byte(keyMagic), keyVersion)
	random := make([]byte, saltBytes+nonceBytes)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	salt, nonce := random[:saltBytes], random[saltBytes:]
	gcm, err := f.cipher(salt)
	if err != nil {
		return nil, err
	}
	out = append(out, salt...)
	known := append(bytes.Clone(out), name...)
	return gcm.Seal(append(out, nonce...), nonce, plain, known), nil
}

func (f *Folder) unseal(name string, data []byte) ([]byte, error) {
	head := len(keyMagic) + 1 + saltBytes
	switch {
	case len(data) < head+nonceBytes || string(data[:len(keyMagic)]) != keyMagic:
		return nil, fmt.Errorf("identity: open key %s: the file is none of ours", name)
	case data[len(keyMagic)] != keyVersion:
		return nil, fmt.Errorf("identity: open key %s: it has version %d; this program reads version %d", name, data[len(keyMagic)], keyVersion)
	}
	gcm, err := f.cipher(data[len(keyMagic)+1 : head])
	if err != nil {
		return nil, err
	}
	known := append(bytes.Clone(data[:head]), name...)
	plain, err := gcm.Open(nil, data[head:head+nonceBytes], data[head+nonceBytes:], known)
	if err != nil {
		return nil, fmt.Errorf("identity: open key %s: it is damaged, or was encrypted with another master secret or under another name", name)
	}
	return plain, nil
}

func (f *Folder) cipher(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, f.master, salt, keyInfo, 32)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return cipher.NewGCM(block)
}
